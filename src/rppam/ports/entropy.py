"""Chance from outside (the protocol itself stands in the domain, where the core can name it)."""

from rppam.domain.entropy import Entropy

__all__ = ["Entropy"]
