// Goes on to the newest job: asks this view whether there is one, and leaves when there is, or when this job has ended.
const PAUSE = 2000;

export async function leave(newest) {
    try {
        const answer = await fetch("/newer");
        if (answer.status === 200 || answer.status === 404 || answer.status === 410) {
            location.replace(newest);
            return true;
        }
    } catch {
        // the gateway is away for a moment
    }
    return false;
}

export async function follow(newest) {
    do {
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (!(await leave(newest)));
}
