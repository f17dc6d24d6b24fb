// A notebook in a frame of the same origin. The outer page shows the end of the job, or opens the newest job.
import { follow } from "/gateway/following.js";

follow(document.body.dataset.newest || location.href);
