"""Sessions: somebody signed in, from when until when, and what ends it."""
