"""Runs the job's processes, collects their output, and drives the kernel of the python steps."""
