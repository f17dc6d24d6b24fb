"""What is looked at where something does not work: ``run`` goes through it, and each part of the system has a file."""
