"""Codes that are in use no more, or never were, and must not be given to anything else."""

from typing import Final

_ERRORS: Final = (2117, *range(5311, 5318), 5319, 5320, 5323, 5325, 5326, *range(6034, 6037))
_FINDINGS: Final = (116, 617, *range(941, 947), 949, 950)
RETIRED: Final = frozenset({*(f"RPPAM-{one}" for one in _ERRORS), *(f"RD-{one}" for one in _FINDINGS)})
