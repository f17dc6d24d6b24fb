"""The life of a job: queue, start, supervision and end."""
