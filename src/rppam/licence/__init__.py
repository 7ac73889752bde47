"""Licences: signed files, and what they allow."""
