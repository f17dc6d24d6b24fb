"""The documents that the orchestrator writes about a job."""
