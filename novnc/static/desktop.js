// The desktop of one job. Whether who looks may type is decided by the password: the screen itself refuses the rest.
import "/gateway/without-h264.js"; // before noVNC, which looks for it as it is loaded
import RFB from "/novnc/core/rfb.js";
import { follow, leave } from "/gateway/following.js";

const { password, mode, newest } = document.body.dataset;
const state = document.getElementById("state");
const control = mode === "control";
const scheme = location.protocol === "https:" ? "wss" : "ws";

// Breaks in a row, in this tab: after a few, a person is to look.
const BREAKS = "breaks";
const MOST = 5;

const rfb = new RFB(document.getElementById("screen"), `${scheme}://${location.host}/websockify`, {
    credentials: { password },
    shared: true,
});
rfb.viewOnly = !control;
rfb.resizeSession = control; // the screen takes the size of the window
rfb.scaleViewport = true;
rfb.background = "#20242b";
rfb.focusOnClick = true;

let connected = 0;
rfb.addEventListener("connect", () => {
    connected = Date.now();
    state.textContent = "connected";
    document.body.dataset.state = "connected";
    if (control) rfb.focus();
});
rfb.addEventListener("securityfailure", () => {
    state.textContent = "the screen refused the password";
});
rfb.addEventListener("disconnect", async () => {
    document.body.dataset.state = "disconnected";
    if (newest && (await leave(newest))) return;
    const breaks = connected && Date.now() - connected > 3000 ? 0 : Number(sessionStorage.getItem(BREAKS) ?? 0);
    sessionStorage.setItem(BREAKS, breaks + 1);
    if (breaks < MOST) {
        state.textContent = "disconnected";
        setTimeout(() => location.reload(), 300 * (breaks + 1)); // the page then says what has come of the job
    } else {
        state.textContent = "it does not stay connected; reload the page to try again";
        sessionStorage.removeItem(BREAKS);
    }
});
rfb.addEventListener("clipboard", (event) => navigator.clipboard?.writeText(event.detail.text).catch(() => {}));
document.addEventListener("paste", (event) => {
    if (control) rfb.clipboardPasteFrom(event.clipboardData.getData("text"));
});
document.getElementById("full").addEventListener("click", () => document.documentElement.requestFullscreen());

if (newest) follow(newest);
