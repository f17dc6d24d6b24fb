"""Shows a running job: its desktop, its notebook and its files."""
