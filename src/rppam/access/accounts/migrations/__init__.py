"""Steps of the schema that make the tables of accounts say more."""
