"""Text into validated, frozen settings."""
