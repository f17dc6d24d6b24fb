"""The link: the agents' HTTP API on a Unix socket, with the calls that a container may make."""
