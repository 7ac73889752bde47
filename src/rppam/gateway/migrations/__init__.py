"""Steps of the schema for sessions with targets."""
