"""Access to running jobs: their files, their viewers, and signed grants."""
