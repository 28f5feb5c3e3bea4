"""Where nodes are computed."""
