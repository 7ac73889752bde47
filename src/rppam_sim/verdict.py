"""What a run that breaks a property ends with."""

from typing import NamedTuple


class Violation(NamedTuple):
    """A property that did not hold."""

    law: str
    """``S1`` to ``S5``, ``L1``, ``L2``, ``L4``, ``L5``, ``keeps-leading``, or ``spin``."""
    at_us: int
    sentence: str


class Broken(Exception):
    """Ends a run at its first violation."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(violation.sentence)
        self.violation = violation
