"""Text to validated frozen settings. Pure: what it needs of the host comes in as ``outside.Outside``."""
