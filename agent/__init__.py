"""The agent: one job, one container, one graph."""
