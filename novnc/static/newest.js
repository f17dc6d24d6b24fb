// Waits for a running job other than the last one, and opens it.
const PAUSE = 500;
const after = encodeURIComponent(document.body.dataset.after);

async function look() {
    try {
        const answer = await fetch(`/newest/link?after=${after}`);
        if (answer.status === 200) {
            location.replace((await answer.json()).url);
            return;
        }
        if (answer.status === 401) {
            location.reload(); // the login has ended
            return;
        }
    } catch {
        // the gateway is temporarily unavailable
    }
    setTimeout(look, PAUSE);
}
look();
