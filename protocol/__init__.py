"""What the agent and the orchestrator share. It imports neither of them."""
