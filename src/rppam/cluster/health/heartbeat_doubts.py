"""What is odd about the heartbeats in the store, for health and log: somebody else may write there.

Each kind is one sentence, however many names it is about; it stays in health for a minute after it was seen last, and
the log tells it when it comes, and once a minute while it goes on with other names. Decides nothing.
"""

import logging
from typing import Final

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.store.ports import ExchangeAnswer
from rppam.kernel.instant import US_PER_S, Instant

log: Final = logging.getLogger("rppam.node")

SHOWN_FOR_US: Final = 60 * US_PER_S
NAMES_TOLD: Final = 4
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


class HeartbeatDoubts:
    """What one node has found, and told."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._seen: dict[str, tuple[str, Instant]] = {}
        """By kind: the sentence, and when it was seen last."""
        self._told: dict[str, tuple[str, Instant]] = {}

    def look_at(self, answer: ExchangeAnswer, core: NodeCore, now: Instant) -> None:
        """The store answered, and the node has made of it what it could."""
        namesake, roster = core.admission.namesake(now), core.roster
        self.look(answer.unauthenticated, roster.passed_over, namesake, now, answer.unsealed, roster.crowd)

    def look(
        self,
        unauthenticated: tuple[str, ...],
        passed_over: tuple[str, ...],
        namesake: Heartbeat | None,
        now: Instant,
        unsealed: tuple[str, ...] = (),
        crowd: tuple[str, ...] = (),
    ) -> None:
        """Names with forged heartbeats, names of nobody, who goes on under this node's name, names whose orders nobody
        signed who may, and names that come and go in crowds."""
        if unauthenticated:
            self._note("unauthenticated", UNAUTHENTICATED.format(names=_some(unauthenticated)), now)
        if passed_over:
            told = PASSED_OVER.format(count=len(passed_over), names=_some(passed_over))
            self._note("passed over", told, now)
        if unsealed:
            self._note("unsealed", UNSEALED.format(names=_some(unsealed)), now)
        if crowd:
            self._note("crowd", CROWD.format(count=len(crowd), names=_some(crowd)), now)
        if namesake is not None:
            host = namesake.hostname or "(unnamed)"
            self._note("namesake", NAMESAKE.format(node=self._node, life=namesake.boot_id, host=host), now)

    def warnings(self, now: Instant) -> tuple[str, ...]:
        """Sentences for an administrator."""
        return tuple(sentence for sentence, at in self._seen.values() if now - at < SHOWN_FOR_US)

    def _note(self, kind: str, sentence: str, now: Instant) -> None:
        said, at = self._seen.get(kind, ("", now))
        is_same = said == sentence and now - at < SHOWN_FOR_US
        self._seen[kind] = sentence, now
        told = self._told.get(kind)
        if not is_same and (told is None or now - told[1] >= SHOWN_FOR_US):
            self._told[kind] = sentence, now
            log.warning("%s", sentence)


def _some(names: tuple[str, ...]) -> str:
    ordered = sorted(names)
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return ", ".join(ordered[:NAMES_TOLD]) + more
