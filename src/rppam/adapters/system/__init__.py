"""Clock, files, keys, service manager of this host."""
