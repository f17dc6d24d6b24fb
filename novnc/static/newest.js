// Waits for a running job other than the one that was seen before, and goes to it.
const PAUSE = 500;
const after = encodeURIComponent(document.body.dataset.after);

async function look() {
    try {
        const answer = await fetch(`/newest/link?after=${after}`);
        if (answer.status === 200) {
            location.replace((await answer.json()).url);
            return;
        }
    } catch {
        // the gateway is away for a moment
    }
    setTimeout(look, PAUSE);
}
look();
