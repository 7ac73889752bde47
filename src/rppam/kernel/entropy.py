"""Chance from outside: a protocol, so that the simulation can seed it."""

from typing import Protocol


class Entropy(Protocol):
    """Randomness, seeded in the simulation."""

    def nonce(self) -> str:
        """16 fresh hexadecimal digits."""
        ...

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound - 1``."""
        ...
