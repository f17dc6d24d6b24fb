"""Background tasks, and a notifier that wakes up waiting tasks."""
