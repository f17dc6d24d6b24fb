"""The secrets that come with a job: validation and encrypted storage."""
