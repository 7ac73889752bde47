"""Percentiles by the nearest rank: always a value that was measured, and never one between two."""

from collections.abc import Iterable


def nearest_rank(values: Iterable[float], share: float) -> float:
    """The smallest of ``values`` that at least ``share`` (0 to 1) of them did not exceed. IndexError for none."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * 1000 * len(ordered)) // 1000) - 1)]
