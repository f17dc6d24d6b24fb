"""Inspects, saves and restores a job's files through child processes with the identity of the job's user."""
