"""The orchestrator: it accepts jobs, schedules them, and stores their record."""
