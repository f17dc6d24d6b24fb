"""The nodes of the graph. ``prep`` reads, ``exec`` works, ``post`` writes and returns the edge."""
