"""What the programs at the top share."""
