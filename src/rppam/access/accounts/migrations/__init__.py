"""Steps of the schema that make the tables of passkeys."""
