"""The users' door: HTTP, thin routes."""
