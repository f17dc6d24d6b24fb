// A notebook in a frame of its own origin: the page around it says how the job has ended, or goes on to the newest.
import { follow } from "/gateway/following.js";

follow(document.body.dataset.newest || location.href);
