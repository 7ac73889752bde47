"""Steps of the schema that make the table of SIEM targets."""
