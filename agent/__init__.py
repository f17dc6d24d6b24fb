"""The data plane: one job, one container, one graph."""
