"""Runs the machines in real time and carries out their effects. Start at ``driver.py``."""
