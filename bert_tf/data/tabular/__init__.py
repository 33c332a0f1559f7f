"""Files of rows, whatever their format: recognised, decoded, read as tables."""
