"""Processes that train BERT, ours and others', each run by itself."""
