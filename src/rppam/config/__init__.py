"""Text to validated frozen settings."""
