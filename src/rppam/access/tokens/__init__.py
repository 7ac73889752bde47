"""Access tokens: the keys that sign them, what they say, and whether it still holds."""
