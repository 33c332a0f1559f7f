"""From the files of each task to batches of ids."""
