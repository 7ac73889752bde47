"""How often something may happen: counted in Redis for all nodes, in SQL, or by one process alone."""
