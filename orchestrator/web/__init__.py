"""What all three HTTP doors share."""
