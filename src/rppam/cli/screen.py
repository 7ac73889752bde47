"""What screens of several commands have in common: colours of states, ages, times."""

from typing import Final

STYLES: Final = {"healthy": "green", "suspect": "yellow", "unreachable": "red", "left": "dim", "maintenance": "blue"}


def age(milliseconds: int | None) -> str:
    """``0.4 s``, ``3 min``, or a dash."""
    if milliseconds is None:
        return "-"
    return f"{milliseconds / 1000:.1f} s" if milliseconds < 120_000 else f"{milliseconds // 60_000} min"
