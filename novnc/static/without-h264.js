// While it loads, noVNC 1.6 decodes an H.264 frame to test the browser, and starts only after that.
// A busy or hanging decoder never answers, so the desktop never connects: https://github.com/novnc/noVNC/pull/2053
// (phones with hardware decoders, and sometimes any machine). Our desktops send no H.264.
delete window.VideoDecoder;
