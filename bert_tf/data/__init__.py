"""Reads the files of each task, and makes batches of ids of them."""
