"""Benchmarks of whole jobs against the alternatives."""
