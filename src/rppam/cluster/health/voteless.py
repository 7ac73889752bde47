"""Nodes that take part and are no members: they look like any standby, and have no vote and never lead.

A newcomer is one for some seconds until its vote is won, so only what lasts is told. Each node tells it of itself and
of the others. What it does not decide: who becomes a member.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import MemberStatus
from rppam.cluster.consensus.messages import Refusal
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.health.model import MemberView
from rppam.kernel.finding import Finding, Severity
from rppam.kernel.instant import US_PER_MS, US_PER_S, Instant

LASTS_S: Final = 10
LEASES: Final = 4
"""A newcomer waits for one lease, is asked, and the members change in two steps."""
BELONGS_ELSEWHERE: Final = (
    "it belongs to a cluster that was founded on its own: stop it, remove the file 'promise' in its node.dataDir, and "
    "start it"
)
_WHY: Final = {
    Refusal.FOREIGN: BELONGS_ELSEWHERE,
    Refusal.STRANGE: f"{Refusal.STRANGE}",
}


class Voteless:
    """Since when which node is none. Ask it in the loop; it does no I/O."""

    def __init__(self, core: NodeCore) -> None:
        self._core = core
        self._since: dict[str, Instant] = {}

    def findings(
        self, members: Iterable[MemberView], refusals: Mapping[str, Refusal], now: Instant
    ) -> tuple[Finding, ...]:
        """``members``: all that are seen now. ``refusals``: why one cannot be taken in, as it told the leader."""
        alive = (MemberStatus.HEALTHY, MemberStatus.MAINTENANCE)
        lacking = {one.node: one for one in members if one.has_vote is False and one.status in alive}
        self._since = {name: self._since.get(name, now) for name in lacking}
        lasts_us = max(LASTS_S * US_PER_S, LEASES * self._core.timing.lease_ms * US_PER_MS)
        lasting = [one for name, one in lacking.items() if now - self._since[name] >= lasts_us]
        return (*self._own(lasting), *self._others(lasting, refusals))

    def _own(self, lasting: Iterable[MemberView]) -> Iterator[Finding]:
        own = next((one for one in lasting if one.node == self._core.node), None)
        status = self._core.status()
        if own is None or status.vote.strange:  # that is a finding of its own
            return
        if status.known_membership is None:
            yield finding("RD-902", "no list of members has reached this node yet")
            return
        known = status.known_membership
        seen = f"the list of members, version {known.version}, has {_names(known.members)}"
        if own.status is MemberStatus.MAINTENANCE:
            yield finding("RD-902", seen, severity=Severity.NOTE, fix=_back(own.node))
        else:
            yield finding("RD-902", f"{seen}; this node asks its leader to be taken in")

    def _others(self, lasting: Iterable[MemberView], refusals: Mapping[str, Refusal]) -> Iterator[Finding]:
        others = [one for one in lasting if one.node != self._core.node]
        resting = [one.node for one in others if one.status is MemberStatus.MAINTENANCE]
        others = [one for one in others if one.node not in resting]
        if others:
            seen = "; ".join(f"{one.node}: {_why(one.node, refusals)}" for one in others)
            yield finding("RD-908", seen)
        elif resting:
            seen = f"{', '.join(resting)}: in maintenance, and forgotten"
            yield finding("RD-908", seen, severity=Severity.NOTE, fix=_back(resting[0]))


def _why(name: str, refusals: Mapping[str, Refusal]) -> str:
    refusal = refusals.get(name)
    return _WHY.get(refusal, f"{refusal}") if refusal else "it is on no list; see its own health for what it waits for"


def _back(name: str) -> str:
    return (
        f"Stop it if it was forgotten for good; else 'rppam cluster maintenance {name} off', and it is taken in again."
    )


def _names(members: tuple[str, ...]) -> str:
    return ", ".join(members)
