"""What the member link refuses: counted by reason, logged once per peer and reason, kept for health.

Decides how often a refusal is reported; callers decide what is refused, and what follows. Nothing here grows without
bound.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant

_log: Final = logging.getLogger("rppam.members")

SILENCE_S: Final = 600
"""After this long the same peer is logged again for the same reason."""
SHOWN_S: Final = 60
"""How long health shows a refusal."""
PEERS_MAX: Final = 256
"""Pairs of peer and reason that are remembered."""


class Refused(StrEnum):
    """Why a connection or a message is refused: the words of the counters."""

    FOREIGN = "foreign"
    """No TLS, or a key that is not this cluster's."""
    SLOW = "slow"
    """It did not finish its handshake and greeting in time."""
    VERSION = "version"
    CLUSTER_ID = "cluster-id"
    ITSELF = "itself"
    """This node: a member's address leads back here."""
    OWN_NAME = "own-name"
    """It has this node's own name."""
    TWIN = "twin"
    """It has the name of another node that is connected."""
    WRONG_NAME = "wrong-name"
    """Another node answers at a member's address."""
    FORGED = "forged"
    """It speaks in somebody else's name."""
    UNPROVEN = "unproven"
    """It says that it is a node, or does what only nodes do, and does not show that it holds the sealing key."""
    REPLAYED = "replayed"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    UNASKED = "unasked"
    """A vote for a vote request that is not open on this connection."""
    TOO_MANY = "too-many"
    """More connections or messages than make sense."""
    UNREAD = "unread"
    """It does not read what is sent to it."""


class _Told(NamedTuple):
    sentence: str
    told_at: Instant
    seen_at: Instant


class Rejections:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._last: dict[tuple[str, Refused], _Told] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many, by reason, since the start."""
        return dict(self._counts)

    def refuse(self, peer: str, reason: Refused, sentence: str) -> None:
        """Count one, and log ``sentence`` unless it was logged of this peer for this reason not long ago."""
        self._counts[str(reason)] += 1
        self.tell(peer, reason, sentence)

    def tell(self, peer: str, reason: Refused, sentence: str) -> None:
        """As ``refuse``, where it was not this node that refused: nothing is counted."""
        now = self._clock.now()
        before = self._last.pop((peer, reason), None)
        if before is None or now - before.told_at >= SILENCE_S * US_PER_S:
            _log.warning("%s", sentence)
            before = _Told(sentence, now, now)
        while len(self._last) >= PEERS_MAX:
            del self._last[next(iter(self._last))]
        self._last[peer, reason] = _Told(sentence, before.told_at, now)

    def is_over(self, peer: str, reason: Refused) -> None:
        """Show it in health no longer; the log hears of it again no earlier than otherwise."""
        if (told := self._last.get((peer, reason))) is not None:
            self._last[peer, reason] = told._replace(sentence="")

    def recent(self) -> tuple[str, ...]:
        """Return sentences about what was refused within the last minute, the latest last."""
        now = self._clock.now()
        return tuple(
            told.sentence for told in self._last.values() if told.sentence and now - told.seen_at < SHOWN_S * US_PER_S
        )


def ms_between(earlier: Instant, later: Instant) -> int:
    return (later - earlier) // US_PER_MS
