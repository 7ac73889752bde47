"""The shared cache: when a process may answer from memory, sealed copies in Redis, word of every change."""
