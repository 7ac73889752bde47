"""What the store does in one exchange, in Python: the oracle of ``redis/scripts/exchange.lua``.

A swap is a compare-and-set on the record's whole text. Where no record stands, or something that is not one, a vacant
mark is left in the same step and nothing else is written: so absence is seen by everybody who reads later, and no write
is ever made where no record is. This is the whole meaning of the lock; permission is decided elsewhere.
"""

from typing import NamedTuple

from rppam.cluster.consensus.record import parse_record


class Exchanged(NamedTuple):
    """Outcome of one exchange."""

    stands: str
    """The record's text afterwards."""
    granted: bool
    was_absent: bool
    moved_aside: bool
    """Something that is not a record stood there; the store keeps it under another name."""


def exchange(stands: str | None, expected: str | None, proposed: str | None, mark: str, stamp: str = "") -> Exchanged:
    """One exchange on a record whose text is ``stands``; ``None`` for ``proposed`` only reads.

    ``stamp`` is the store's own time in hexadecimal. It is appended to the mark's nonce, so that the same request,
    carried out twice by some proxy, never leaves the same mark twice: a reader would take the second for the first.
    """
    if stands is None or parse_record(stands) is None:
        return Exchanged(mark + stamp, granted=False, was_absent=True, moved_aside=stands is not None)
    if proposed is not None and stands == expected:
        return Exchanged(proposed, granted=True, was_absent=False, moved_aside=False)
    return Exchanged(stands, granted=False, was_absent=False, moved_aside=False)
