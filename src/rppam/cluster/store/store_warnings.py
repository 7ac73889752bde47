"""What is wrong in the places that a cluster shares, for health and log: its keys in Redis, the fence in the database.

Foreign data under the cluster's keys, a record that vanishes, heartbeats that somebody else may have written, and a
newer epoch than this node led at. None of it has an end that could be seen, so each is a warning in health until it has
not happened for a while; the log has it when it comes, and once a minute while it goes on in other words. Decides
nothing.
"""

import logging
from collections import deque
from typing import Final

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.store.ports import ExchangeAnswer
from rppam.kernel.fence import Outranked
from rppam.kernel.instant import US_PER_S, Instant, after

log: Final = logging.getLogger("rppam.node")

FOREIGN_FOR_US: Final = 300 * US_PER_S
HEARTBEATS_FOR_US: Final = 60 * US_PER_S
FENCE_FOR_US: Final = 600 * US_PER_S
"""How long after the last time each is warned of."""
LOG_AGAIN_US: Final = 60 * US_PER_S
KINDS_MAX: Final = 100
"""Of which is known when they were logged; a writer of foreign keys chooses how many there are."""
VANISHED_TIMES: Final = 3
"""How often the record must be gone within ``VANISH_WITHIN_US`` before that is warned of: a store that lost its data
once shows that once."""
VANISH_WITHIN_US: Final = 60 * US_PER_S
"""Also: how long after the last time that is warned of."""
NAMES_SHOWN: Final = 4
_TIME: Final = "0123456789."
"""Ends the name under which foreign data is kept, and makes no other kind of it."""
FOREIGN: Final = "foreign data under this cluster's keys in Redis: "
VANISHES: Final = (
    "keys of this cluster vanish from Redis again and again: the leadership record was gone three times within a "
    "minute. Somebody empties Redis (FLUSHALL), it evicts keys or restarts without its data, or another program "
    "deletes them: look at cmdstat_flushall and cmdstat_del in INFO commandstats, at evicted_keys and "
    "uptime_in_seconds in INFO, and at CLIENT LIST for who else is connected"
)
WRITERS: Final = "see who else may write Redis (ACL LIST, CLIENT LIST)"
UNAUTHENTICATED: Final = (
    "unauthenticated heartbeats stand in Redis under {names}: no holder of this cluster's key wrote them, so nothing "
    "in them is believed. A node of that name has another cluster key, or none, or an older release: copy "
    f"auth.clusterKeyPath to it (rppam init --bundle), or update it. If there is no such node, {WRITERS}"
)
PASSED_OVER: Final = (
    "the set 'members' under redis.keyPrefix lists {count} names that show no life, such as {names}: they are taken "
    f"for nobody's. Delete it (DEL), living nodes list themselves again; and {WRITERS}"
)
UNSEALED: Final = (
    "what heartbeats in Redis under {names} say of maintenance and of a pause of failover is not heeded: no holder of "
    "this cluster's sealing key wrote it. A node of that name has another sealing key, or none, or an older release: "
    "copy auth.sealingKeyPath to it, or update it. If there is no such node, somebody has the cluster key: change it "
    "(rppam cluster key begin)"
)
CROWD: Final = (
    "heartbeats come and go in Redis under {count} names that are no member's, such as {names}: no cluster has so "
    "many nodes, so this one sentence tells of all. Delete the set 'members' under redis.keyPrefix (DEL), living nodes "
    f"list themselves again; and {WRITERS}"
)
NAMESAKE: Final = (
    "heartbeats of another process under this node's name {node!r} go on in Redis: process life {life} on host {host}. "
    "The member link has met no such node, and this one stays. If there is one, give it its own node.nodeName or stop "
    f"it; else {WRITERS}"
)
OUTRANKED: Final = (
    "the database knew epoch {newest} of {holder} when this node led at epoch {epoch}: nothing that only a leader may "
    "write was taken, so it stopped and stood again above that. Once, after a database was restored or somebody "
    "changed the table 'fence' by hand, that is all. If it comes again, another cluster uses the same database: "
    "compare database.url on all nodes with the names in the table 'epochs', and give each cluster one of its own"
)


class StoreWarnings:
    """What one node has found, and logged."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._seen: dict[str, tuple[str, Instant]] = {}
        """By kind: the sentence, and until when it is shown."""
        self._logged: dict[str, tuple[Instant, int]] = {}
        """When each kind was logged last, and how often it came since."""
        self._gone_at: deque[Instant] = deque(maxlen=VANISHED_TIMES)
        self._vanishes = False

    def warnings(self, now: Instant) -> tuple[str, ...]:
        """Return sentences for an administrator."""
        shown = tuple(sentence for sentence, until in self._seen.values() if now < until)
        return (*shown, VANISHES) if self.are_vanishing(now) else shown

    def are_vanishing(self, now: Instant) -> bool:
        """Return whether keys vanish again and again: then a missing heartbeat says nothing of its node."""
        return self._vanishes and self._vanished_lately(now)

    def answered(self, answer: ExchangeAnswer, now: Instant) -> None:
        """Look whether the record vanishes, or foreign data was moved aside."""
        if answer.moved_aside:
            self.found_foreign(answer.moved_aside, now)
        elif answer.was_absent:  # where something foreign stood in its place, that was reported
            self._gone_at.append(now)
        is_often = len(self._gone_at) == VANISHED_TIMES and self._gone_at[-1] - self._gone_at[0] <= VANISH_WITHIN_US
        if self._vanishes and not self._vanished_lately(now):
            self._vanishes = False
            log.info("the leadership record has stayed in Redis for a minute")
        elif not self._vanishes and is_often and self._vanished_lately(now):
            self._vanishes = True
            log.warning(VANISHES)

    def found_foreign(self, what: str, now: Instant) -> None:
        """Something stands under this cluster's keys that none of its nodes wrote."""
        self._warn("foreign", FOREIGN + what, FOREIGN_FOR_US, now, log_as=what.rstrip(_TIME))

    def heartbeats(
        self,
        now: Instant,
        *,
        unauthenticated: tuple[str, ...] = (),
        passed_over: tuple[str, ...] = (),
        unsealed: tuple[str, ...] = (),
        crowd: tuple[str, ...] = (),
        namesake: Heartbeat | None = None,
    ) -> None:
        """Warn of names with forged heartbeats, names that show no life, names whose orders no holder of the sealing
        key signed, names that come and go in crowds, and another process under this node's name."""
        for kind, sentence, names in (
            ("unauthenticated", UNAUTHENTICATED, unauthenticated),
            ("passed over", PASSED_OVER, passed_over),
            ("unsealed", UNSEALED, unsealed),
            ("crowd", CROWD, crowd),
        ):
            if names:
                self._warn(kind, sentence.format(count=len(names), names=_some(names)), HEARTBEATS_FOR_US, now)
        if namesake is not None:
            host = namesake.hostname or "(unnamed)"
            sentence = NAMESAKE.format(node=self._node, life=namesake.boot_id, host=host)
            self._warn("namesake", sentence, HEARTBEATS_FOR_US, now)

    def outranked(self, news: Outranked, now: Instant) -> None:
        """A write of this node was refused as too old. The end of its leadership, which that costs, is in the log."""
        epoch, by = news
        sentence = OUTRANKED.format(newest=by.epoch, holder=by.node or "nobody known", epoch=epoch)
        self._seen["fence"] = sentence, after(now, FENCE_FOR_US)

    def _warn(self, kind: str, sentence: str, shown_us: int, now: Instant, *, log_as: str = "") -> None:
        said, until = self._seen.get(kind, ("", now))
        self._seen[kind] = sentence, after(now, shown_us)
        if said == sentence and now < until:  # it is still so
            return
        logged_at, unlogged = self._logged.get(log_as or kind, (None, 0))
        if logged_at is not None and now - logged_at < LOG_AGAIN_US:
            self._logged[log_as or kind] = logged_at, unlogged + 1
            return
        if len(self._logged) >= KINDS_MAX:
            self._logged.clear()
        log.warning("%s%s", sentence, f" ({unlogged + 1} such since the last line)" if unlogged else "")
        self._logged[log_as or kind] = now, 0

    def _vanished_lately(self, now: Instant) -> bool:
        return bool(self._gone_at) and now - self._gone_at[-1] < VANISH_WITHIN_US


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(sorted(names)[:NAMES_SHOWN]) + more
