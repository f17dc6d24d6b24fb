// Polls for a newer job. Opens the given page if there is one, or if this job has ended.
const PAUSE = 2000;

export async function leave(page) {
    try {
        const answer = await fetch(`/newer${location.search}`); // with the grant of this tab
        if (answer.status === 200 || answer.status === 404 || answer.status === 410) {
            document.querySelector("iframe")?.remove(); // otherwise it would ask the viewer for confirmation
            location.replace(page);
            return true;
        }
    } catch {
        // the gateway is temporarily unavailable
    }
    return false;
}

export async function follow(page) {
    do {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (!(await leave(page)));
}
