"""Where containers run: ``base`` says what an engine does, and each kind has a file."""
