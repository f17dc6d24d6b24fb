"""The agents' door: HTTP on a Unix socket, for what a container may ask for."""
