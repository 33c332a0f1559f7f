"""Shared parts of the programs at the top and of the tools."""
