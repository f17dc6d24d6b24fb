// Asks this view whether there is a job to go on to, and leaves for a page when there is, or when this job has ended.
const PAUSE = 2000;

export async function leave(page) {
    try {
        const answer = await fetch("/newer");
        if (answer.status === 200 || answer.status === 404 || answer.status === 410) {
            document.querySelector("iframe")?.remove(); // else it would ask its viewer whether to leave
            location.replace(page);
            return true;
        }
    } catch {
        // the gateway is away for a moment
    }
    return false;
}

export async function follow(page) {
    do {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (!(await leave(page)));
}
