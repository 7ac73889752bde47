"""SQL: users, sessions, the highest epoch."""
