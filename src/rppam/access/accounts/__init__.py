"""Accounts: people, their passwords and roles."""
