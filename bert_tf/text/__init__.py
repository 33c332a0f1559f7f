"""Turns text into token ids, in Python and inside a TensorFlow graph."""
