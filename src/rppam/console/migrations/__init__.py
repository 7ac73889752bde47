"""Steps of the schema that make the table of acts that must happen once."""
