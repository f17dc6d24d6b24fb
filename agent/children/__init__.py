"""Programs that the agent starts as another user, and the modules that only they share."""
