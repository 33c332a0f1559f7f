"""An HTTP server for exported models, and a client for it."""
