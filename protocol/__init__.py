"""Code shared by the agent and the orchestrator. It imports neither of them."""
