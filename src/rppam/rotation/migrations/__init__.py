"""The steps of the schema that rotation brings."""
