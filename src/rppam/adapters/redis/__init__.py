"""Redis: connection, scripts, leadership store."""
