"""The released models by their names: the table, the cache, the download."""
