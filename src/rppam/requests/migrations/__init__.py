"""Steps of the schema that make the tables of requests, grants, policies and groups."""
