"""REST on port 7101."""
