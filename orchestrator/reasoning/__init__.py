"""The model's part of a job: what it is told, how its answers are read, and what becomes of them."""
