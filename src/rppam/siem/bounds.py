"""How much goes to a target at one time, and what becomes of an event that is too large for it. Pure.

A request ends before the event that would make it longer than the target takes. Where one event alone is longer, it is
sent without its details: what stays says who did what, when and with which outcome, that details were left out, how
many bytes of them, and their hash; the ledger has the whole event under the same ``id``. To wait instead would hold up
every later event, so whoever can make one large event could blind the receiver; to skip it would be silent. What it
does not promise: that a target says how much it takes. The numbers are those that the makers publish.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from rppam.ledger.model import canonical
from rppam.siem.model import Target, TargetKind

BATCH_BYTES: Final = 1_000_000
"""Of one request. Azure's Logs Ingestion API takes 1 MB a call; so did Splunk's collector before it was raised, and so
do reverse proxies that nobody has configured."""
_EVENT_BYTES: Final[Mapping[TargetKind, int]] = MappingProxyType(
    {
        TargetKind.SYSLOG: 64_000,
        TargetKind.SENTINEL: 64_000,
    }
)
"""Of one event, where a target cuts a longer one without a word: syslog receivers at 64 KiB and below, Azure at fields
of 64 KB. The others refuse it, and are believed."""
_FRAME_BYTES: Final = 2
"""The brackets around a list."""

Event = Mapping[str, Any]


class Bounds(NamedTuple):
    """What a target takes, in bytes."""

    batch: int
    event: int


class Piece(NamedTuple):
    """One event as it is sent."""

    event: Event
    data: bytes
    whole_bytes: int = 0
    """How long it was with its details; 0 where it still has them."""


class Shortened(NamedTuple):
    """An event that was sent without its details."""

    place: int
    """Its index in the ledger."""
    id: str
    bytes: int
    """With them."""


class Taken(NamedTuple):
    """What a target took of a batch."""

    events: int
    """So many from its beginning."""
    shortened: tuple[Shortened, ...] = ()


def bounds_of(target: Target) -> Bounds:
    """What a target takes as far as it has not refused anything."""
    batch = min(target.options.batch_bytes, BATCH_BYTES)
    return Bounds(batch, min(batch, _EVENT_BYTES.get(target.kind, batch)))


def fitting(batch: Sequence[Event], write: Callable[[Event], bytes], bounds: Bounds) -> list[Piece]:
    """As many events from the beginning as one request may have; one at least."""
    pieces, total = list[Piece](), _FRAME_BYTES
    for event in batch:
        one = Piece(event, write(event))
        if len(one.data) > bounds.event:
            one = shortened(one, write)
        total += len(one.data) + 1
        if pieces and total > bounds.batch:
            break
        pieces.append(one)
    return pieces


def halved(pieces: Sequence[Piece]) -> list[Piece]:
    """As many from the beginning as have half of the bytes; one at least, and fewer than there are."""
    most, total, some = sum(len(one.data) for one in pieces) // 2, 0, list[Piece]()
    for one in pieces[:-1]:
        total += len(one.data)
        if some and total > most:
            break
        some.append(one)
    return some


def shortened(piece: Piece, write: Callable[[Event], bytes]) -> Piece:
    """The same event without its details."""
    details = canonical(piece.event["details"]).encode()
    mark = {"shortened": True, "bytes": len(details), "sha256": hashlib.sha256(details).hexdigest()}
    event = {**piece.event, "details": mark}
    return Piece(event, write(event), len(piece.data))


def taken(pieces: Sequence[Piece]) -> Taken:
    """What was taken with them. A test event, which has no place in the ledger, is not told as shortened."""
    short = [
        Shortened(one.event["index"], one.event["id"], one.whole_bytes)
        for one in pieces
        if one.whole_bytes and one.event["index"] is not None
    ]
    return Taken(len(pieces), tuple(short))
