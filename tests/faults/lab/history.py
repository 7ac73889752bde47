"""The judgement of what was seen from outside: one leader at a time, and a register that nobody overtaken can write.

All times are of one clock, that of the machine the whole lab runs on. An observation lasts from its request to its
answer; what it shows was so at *some* instant in between, and no delay of a request, an answer or the observer can make
a violation up. Leadership: :func:`leadership_faults`. The register, written and read through every node under the
leader's fence: :func:`register_faults`, which is exact. It decides linearizability of one register in which every write
has a value of its own (Gibbons and Korach 1997, the case of known writes): the operations of one value span a zone, and
there is an order that explains them all if and only if no two zones collide.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from tests.support.watching import Sample, violations

NEVER: Final = math.inf


class Span(NamedTuple):
    """A leadership as far as it is certain: the node led from its first answer's arrival to its last one's request."""

    node: str
    epoch: int
    from_ns: int
    to_ns: int


Outcome = Literal["accepted", "refused", "unknown"]


class Deed(NamedTuple):
    """One write or read of the register through one node."""

    node: str
    kind: Literal["write", "read"]
    sent_ns: int
    received_ns: float
    """:data:`NEVER` when no answer came: a write may then take effect at any later time, or not at all."""
    value: str
    """Written, or read; empty: the register as it was at first."""
    epoch: int
    """Of the leadership that wrote; 0 where the answer did not tell."""
    outcome: Outcome


def spans(samples: Iterable[Sample]) -> list[Span]:
    """Every leadership that was seen, by its start."""
    found: dict[tuple[str, int], Span] = {}
    for one in samples:
        if one.status == 200:
            known = found.get((one.node, one.epoch), Span(one.node, one.epoch, one.received_ns, one.sent_ns))
            known = known._replace(from_ns=min(known.from_ns, one.received_ns), to_ns=max(known.to_ns, one.sent_ns))
            found[one.node, one.epoch] = known
    return sorted((one._replace(to_ns=max(one.from_ns, one.to_ns)) for one in found.values()), key=lambda s: s.from_ns)


def leadership_faults(samples: Iterable[Sample]) -> list[str]:
    """Every proof that two nodes led at one time, or that a lower epoch led after a higher one."""
    return violations(samples)


def register_faults(deeds: Iterable[Deed]) -> list[str]:
    """Every proof that the fence let an old leader write, or that the register was not one register."""
    deeds = list(deeds)
    kept = [deed for deed in deeds if deed.outcome != "refused"]
    return [*_old_epochs(kept), *_forbidden_values(deeds, kept), *_collisions(kept)]


def _old_epochs(deeds: list[Deed]) -> list[str]:
    """S3: no write of an older leadership is accepted that was asked for after one of a newer had been answered."""
    written = sorted((d for d in deeds if d.kind == "write" and d.outcome == "accepted"), key=lambda d: d.sent_ns)
    answered = sorted(written, key=lambda d: d.received_ns)
    found, place, highest = [], 0, None
    for deed in written:
        while place < len(answered) and answered[place].received_ns < deed.sent_ns:
            if highest is None or answered[place].epoch > highest.epoch:
                highest = answered[place]
            place += 1
        if highest is not None and deed.epoch < highest.epoch:
            found.append(
                f"{deed.node} wrote {deed.value!r} at epoch {deed.epoch}, "
                f"{(deed.sent_ns - highest.received_ns) / 1e6:.1f} ms after {highest.node} wrote at {highest.epoch}"
            )
    return found


def _forbidden_values(deeds: Iterable[Deed], kept: list[Deed]) -> list[str]:
    """A value that was refused, never written, or not yet written cannot be read."""
    refused = {deed.value: deed for deed in deeds if deed.outcome == "refused" and deed.kind == "write"}
    asked = {deed.value: deed for deed in kept if deed.kind == "write"}
    found = []
    for deed in kept:
        if deed.kind != "read" or deed.outcome != "accepted" or not deed.value:
            continue
        if deed.value in refused:
            found.append(f"{deed.node} shows {deed.value!r}, which {refused[deed.value].node} had refused")
        elif deed.value not in asked:
            found.append(f"{deed.node} shows {deed.value!r}, which nobody wrote")
        elif deed.received_ns < asked[deed.value].sent_ns:
            found.append(f"{deed.node} shows {deed.value!r} before it was written")
    return found


class _Zone(NamedTuple):
    """All operations of one value: it was in the register from at the latest ``low`` to at the earliest ``high`` when
    ``low < high`` (a forward zone); else all of them can stand at one instant between ``high`` and ``low``."""

    value: str
    low: float
    """When its first operation had ended."""
    high: float
    """When its last operation began."""


def _collisions(deeds: list[Deed]) -> list[str]:
    by_value: dict[str, list[Deed]] = defaultdict(list)
    for deed in deeds:
        if deed.kind == "write" or deed.outcome == "accepted":
            by_value[deed.value].append(deed)
    by_value[""].append(Deed("", "write", 0, 0, "", 0, "accepted"))
    zones = []
    for value, of_value in by_value.items():
        if any(deed.outcome == "accepted" for deed in of_value):  # else: written without an answer, and never read
            low = min(deed.received_ns for deed in of_value)
            zones.append(_Zone(value, low, max(deed.sent_ns for deed in of_value)))
    forward = sorted((zone for zone in zones if zone.low < zone.high), key=lambda zone: zone.low)
    found = []
    for one, other in pairwise(forward):
        if other.low < one.high:
            found.append(f"{other.value!r} was read and written between two operations that show {one.value!r}")
    for zone in zones:
        found += [
            f"{zone.value!r} came and went while the register held {wide.value!r}"
            for wide in forward
            if zone.low >= zone.high and wide.low < zone.high and zone.low < wide.high
        ]
    return found
