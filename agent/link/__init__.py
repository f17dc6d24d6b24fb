"""The agent's side of the link."""
