"""Background tasks, and a notifier that wakes waiting tasks."""
