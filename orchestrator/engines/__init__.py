"""Engines, which run the containers. ``base`` defines the interface, and each kind of engine has a file."""
