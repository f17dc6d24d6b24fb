"""Plans without a model: steps, limits and templates."""
