"""Who leads, who votes, and how that is known: the half that keeps the node available."""
