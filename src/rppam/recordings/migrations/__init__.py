"""Steps of the schema for recordings."""
