"""In-process stand-ins that are real enough for a single node without Redis."""
