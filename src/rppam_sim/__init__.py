"""A seeded world in which the production core runs under faults."""
