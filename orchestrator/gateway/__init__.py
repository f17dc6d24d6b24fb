"""The live gateway's door: HTTP on a Unix socket, at which nginx asks who may see what, and for pages."""
