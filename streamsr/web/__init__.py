"""Pages on this machine: the server, who may see them, and what they share."""
