// A notebook in a frame of its own origin, so that the page around it can go on to the newest job.
import { follow } from "/gateway/following.js";

follow(document.body.dataset.newest);
