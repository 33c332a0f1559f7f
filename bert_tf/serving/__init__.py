"""A server of exported models over HTTP, and a client of it."""
