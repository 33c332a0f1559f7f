"""Finds what is wrong with files, texts, labels and machine before a run."""
