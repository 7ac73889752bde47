"""The pure state machines that decide. No clock, no network, no chance. Start at ``election.py``."""
