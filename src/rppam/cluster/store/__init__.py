"""Where the lease, the votes and the epochs are kept: Redis, the vote file, the database."""
