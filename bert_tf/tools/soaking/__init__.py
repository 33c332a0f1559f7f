"""Parts of the tool that runs a server through hours of traffic."""
