// The desktop of one job. The password decides whether the viewer may type; the X server itself rejects other input.
import "/gateway/without-h264.js"; // before noVNC, which checks for the decoder while it loads
import RFB from "/novnc/core/rfb.js";
import { follow, leave } from "/gateway/following.js";

const { password, mode, newest } = document.body.dataset;
const state = document.getElementById("state");
const control = mode === "control";
const scheme = location.protocol === "https:" ? "wss" : "ws";

// Consecutive disconnections in this tab. After a few, the page stops reconnecting.
const BREAKS = "breaks";
const MOST = 5;

const rfb = new RFB(document.getElementById("screen"), `${scheme}://${location.host}/websockify`, {
    credentials: { password },
    shared: true,
});
rfb.viewOnly = !control;
rfb.resizeSession = control; // the desktop follows the size of the window
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
    state.textContent = "the desktop rejected the password";
});
rfb.addEventListener("disconnect", async () => {
    document.body.dataset.state = "disconnected";
    if (newest && (await leave(newest))) return;
    const breaks = connected && Date.now() - connected > 3000 ? 0 : Number(sessionStorage.getItem(BREAKS) ?? 0);
    sessionStorage.setItem(BREAKS, breaks + 1);
    if (breaks < MOST) {
        state.textContent = "disconnected";
        setTimeout(() => location.reload(), 300 * (breaks + 1)); // the new page shows the state of the job
    } else {
        state.textContent = "the connection keeps breaking; reload the page to try again";
        sessionStorage.removeItem(BREAKS);
    }
});
rfb.addEventListener("clipboard", (event) => navigator.clipboard?.writeText(event.detail.text).catch(() => {}));
document.addEventListener("paste", (event) => {
    if (control) rfb.clipboardPasteFrom(event.clipboardData.getData("text"));
});
document.getElementById("full").addEventListener("click", () => document.documentElement.requestFullscreen());

if (newest) follow(newest);
