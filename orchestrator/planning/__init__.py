"""From a request to a plan without a model: steps, limits, templates."""
