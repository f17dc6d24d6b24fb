"""``make skill``: counts the real tasks that the product does with the configured model, judged by hidden checks."""
