"""Who may do what, and the middleware that asks."""
