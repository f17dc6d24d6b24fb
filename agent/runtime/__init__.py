"""Runs what a job runs: processes, their output, the kernel of the Python steps."""
