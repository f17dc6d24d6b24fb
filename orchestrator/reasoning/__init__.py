"""The model's part of a job: its prompts, the parsing of its answers, and the steps that follow."""
