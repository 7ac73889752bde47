"""Findings: what is wrong, how it is known, and the fix."""
