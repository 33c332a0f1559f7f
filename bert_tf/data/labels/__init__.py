"""Labels: read from cells, missing, known to a model."""
