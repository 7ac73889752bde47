"""Steps that bring a database of an older release to this one's tables (alembic)."""
