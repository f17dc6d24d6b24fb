"""The doctor's checks. ``run`` runs them; each part of the system has a file."""
