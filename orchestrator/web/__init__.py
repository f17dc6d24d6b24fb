"""Code that the three HTTP servers share."""
