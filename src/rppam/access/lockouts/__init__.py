"""Lockouts: too many wrong passwords or codes."""
