"""The checks of `plausibility.py`."""
