"""The nodes of the graph: ``prep`` reads, ``exec`` works, ``post`` writes and picks the edge."""
