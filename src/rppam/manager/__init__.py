"""Orders to the cluster, and its state for people and programs: REST and commands."""
