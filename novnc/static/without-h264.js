// noVNC 1.6 decodes a frame of H.264 as it is loaded, to see whether the browser can, and begins only when that is through.
// A decoder that is busy or hangs never says so, and the desktop never connects: https://github.com/novnc/noVNC/pull/2053
// (phones that decode by hardware, and any machine now and then). Our screens send no H.264.
delete window.VideoDecoder;
