"""Health as JSON, and a snapshot of a bounded length for the page that the processes of one node share."""

import json
from typing import Final

import msgspec
from msgspec.structs import replace

from rppam.cluster.health.model import FINE, ClusterSnapshot, Value

OTHERS_MAX: Final = 100
"""How many nodes are shown beside those that vote, where not all can be."""
from_text: Final = msgspec.json.Decoder(ClusterSnapshot).decode
"""The snapshot in a text. Raises :class:`msgspec.DecodeError`, which is a ValueError."""


def to_text(value: Value) -> bytes:
    """One line of JSON. Half a character, which others may write into Redis, becomes a question mark."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode(errors="replace")


def text_within(snapshot: ClusterSnapshot, bytes_max: int) -> bytes:
    """As :func:`to_text`; where that is too long, of fewer members, with a warning that says so.

    This node, the leader and voters go first, then members that are not well, so that health does not look better than
    it is. Longer than ``bytes_max`` only where no list of members would fit.
    """
    text = to_text(snapshot)
    if len(text) <= bytes_max:
        return text
    known = {snapshot.node, snapshot.leader, *(line.voter for line in snapshot.votes)}
    ranked = sorted(snapshot.members, key=lambda one: (one.node not in known, one.status in FINE, one.node))
    count = min(len(ranked), sum(one.node in known for one in ranked) + OTHERS_MAX)
    while len(text) > bytes_max and count:
        shown = tuple(sorted(ranked[:count], key=lambda one: one.node))
        told = (
            f"{len(ranked)} nodes are seen, more than can be shown, so {count} are listed. Where some are none of your "
            "nodes, look who writes under this cluster's keys in Redis"
        )
        text = to_text(replace(snapshot, members=shown, warnings=(*snapshot.warnings, told)))
        count //= 2
    return text
