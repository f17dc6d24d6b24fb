"""``make skill``: how many real tasks the product does with the configured model, judged by hidden checks."""
