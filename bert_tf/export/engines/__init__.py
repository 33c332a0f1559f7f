"""Engines: what computes the network of an exported model on this machine."""
