"""Measures what a user would: whole jobs, beside what they would do instead."""
