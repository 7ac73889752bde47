"""Judges a member's vote, as pure decisions: facts in, findings out.

Facts are the list of members on this node's disk, the heartbeats in Redis, what answered at each member's port, and
what the host's clock and disk are made of. What could not be seen gives no finding. It does not collect the facts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from rppam.catalogue.members import PORT
from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.membership import Membership, QuorumPolicy
from rppam.kernel.finding import Finding, Severity

COARSE_CLOCKS: Final = frozenset({"jiffies", "refined-jiffies", "acpi_pm", "hpet", "pit", "dummy"})
"""Clock sources that a kernel falls back to when it does not trust the better ones."""
FORGETFUL: Final = frozenset({"tmpfs", "ramfs", "devtmpfs"})
"""File systems that are empty after a reboot."""

NAMES_TOLD: Final = 8


class ProbeOutcome(StrEnum):
    """What happened at a member's port; the value is the code of the finding."""

    ANSWERED = ""
    REFUSED = "RD-911"
    SILENT = "RD-912"
    NAME_UNKNOWN = "RD-913"
    NO_ROUTE = "RD-914"
    MUTE = "RD-915"
    """The connection was taken, and then nothing came."""
    STRANGER = "RD-916"
    """What answers is no member."""
    OTHER_KEY = "RD-917"
    OTHER_CLUSTER = "RD-918"
    OTHER_VERSION = "RD-919"
    OTHER_NODE = "RD-920"
    TURNED_AWAY = "RD-921"
    UNPROVEN = "RD-954"
    """Its sealing key is another one than this node's."""


class MemberProbe(NamedTuple):
    """What came of probing one member's port."""

    name: str
    """Of the member that should answer."""
    address: str
    outcome: ProbeOutcome
    evidence: str


class Shown(NamedTuple):
    """What a node shows of itself in Redis."""

    heartbeat: Heartbeat
    is_fresh: bool
    """Its heartbeat is that of a node that runs now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteFacts:
    """One member's vote, as seen from its host."""

    node: str
    runs: bool
    """Whether the node itself runs now."""
    membership: Membership | None
    """On its disk."""
    policy: QuorumPolicy
    """As the config says, or its default."""
    is_policy_given: bool
    is_behind_sentinel: bool
    is_witness: bool = False
    others: Mapping[str, Shown] | None = None
    """All other nodes in Redis; ``None``: Redis could not be asked."""
    probed: frozenset[str] = frozenset()
    """Members whose address is known without Redis: what comes of asking them there is told apart."""
    keyless: tuple[str, ...] = ()
    """Names of heartbeats in Redis that were written without the cluster key: nothing else in them counts, as any
    client may have written it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundFacts:
    """What this host's clock and disk are made of; empty where it could not be seen."""

    clock_source: str = ""
    clock_sources: tuple[str, ...] = ()
    """What the kernel could use instead."""
    is_boot_time: bool = True
    """Whether this platform has a clock that counts on during suspend."""
    is_steady: bool | None = None
    """Whether the processor says that its own counter (tsc) runs at one rate, also in its sleep."""
    data_dir: str = ""
    file_system: str = ""
    """Type of that on which ``data_dir`` stands."""
    mount_point: str = ""


def vote_findings(facts: VoteFacts) -> list[Finding]:
    """Judge the list of members on disk, and the policy."""
    return [*_belonging(facts), *_agreement(facts), *policy_findings(facts), *_company(facts)]


def probe_finding(probe: MemberProbe, *, is_fresh: bool) -> Finding | None:
    """Judge one probe. ``is_fresh``: the member's heartbeat says that it runs now."""
    if probe.outcome is ProbeOutcome.ANSWERED:
        return None
    evidence = f"{probe.name} at {probe.address}: {probe.evidence}"
    is_gone = probe.outcome in {ProbeOutcome.REFUSED, ProbeOutcome.SILENT, ProbeOutcome.NO_ROUTE} and not is_fresh
    if is_gone:
        evidence += "; its heartbeat is old, so it may be down"
    found = finding(probe.outcome, evidence, severity=Severity.WARNING if is_gone else None)
    port = probe.address.rpartition(":")[2]
    return replace(found, fix=found.fix.replace(PORT, port)) if port.isdecimal() else found


def ground_findings(facts: GroundFacts) -> list[Finding]:
    """Judge the clock, and the disk that keeps the promises."""
    return [*_clock(facts), *_disk(facts)]


def _belonging(facts: VoteFacts) -> Iterator[Finding]:
    membership = facts.membership
    if membership is None:
        found = "no list of members on disk"
    elif facts.node not in membership.members:
        found = f"the list on disk has {_names(membership)}, version {membership.version}, and not {facts.node!r}"
    else:
        return
    members = sorted(
        name for name, shown in (facts.others or {}).items() if shown.is_fresh and not shown.heartbeat.joins
    )
    what = "This witness is in no list of members, so it does not vote." if facts.is_witness else None
    fix = "Start it while the cluster runs: the leader takes it in." if facts.is_witness or members else ""
    if members:
        evidence = f"{found}; {', '.join(members)} can take it in"
        severity = Severity.WARNING if facts.runs else Severity.NOTE
        yield finding("RD-902", evidence, severity=severity, what=what, fix=fix)
    else:
        yield finding("RD-902", f"{found}, and no member of a cluster is seen in Redis", what=what, fix=fix)


def _agreement(facts: VoteFacts) -> Iterator[Finding]:
    membership = facts.membership
    if membership is None or facts.others is None or facts.node not in membership.members:
        return
    odd = []
    for name, (beat, is_fresh) in sorted(facts.others.items()):
        if not is_fresh or beat.leaving or not beat.member_address:
            continue
        if name not in membership.members and not beat.joins:
            odd.append(f"{name} belongs to a cluster and is not on it")
        if name in membership.members and beat.joins:
            odd.append(f"{name} is on it and says that it belongs to no cluster")
    if odd:
        shown = f"on disk: {_names(membership)}, version {membership.version}; {'; '.join(odd)}"
        yield finding("RD-903", shown, severity=None if facts.runs else Severity.NOTE)


def _company(facts: VoteFacts) -> Iterator[Finding]:
    """Members that do not take part, or are not seen."""
    if facts.others is None:
        return
    for name, (beat, is_fresh) in sorted(facts.others.items()):
        if is_fresh and not beat.leaving and not beat.member_address:
            yield finding("RD-906", f"{name} on host {beat.hostname or '(unnamed)'} shows no member address")
    if facts.keyless:
        more = f" and {len(facts.keyless) - NAMES_TOLD} more" if len(facts.keyless) > NAMES_TOLD else ""
        names = ", ".join(facts.keyless[:NAMES_TOLD]) + more
        yield finding("RD-906", f"if it runs: {names}, of which Redis has heartbeats without the code of a member")
    members = facts.membership.members if facts.membership else ()
    unseen = [name for name in members if name != facts.node and name not in facts.others and name not in facts.probed]
    if unseen:
        yield finding("RD-907", f"no heartbeat in Redis of {', '.join(unseen)}")


def policy_findings(facts: VoteFacts) -> Iterator[Finding]:
    """Judge whether the policy fits the number of voters and the kind of Redis."""
    membership = facts.membership
    body = membership.body if membership is not None else None
    policy = body.policy if body is not None else facts.policy
    if body is not None and policy is not facts.policy:
        here = str(facts.policy) if facts.is_policy_given else f"not set, which means {facts.policy} here"
        yield finding("RD-934", f"cluster.quorumPolicy is {here}; the members' list on disk says {policy}")
    if facts.is_behind_sentinel and policy is QuorumPolicy.LAST_MAN_STANDING:
        shown = f"{policy}, with serviceName in redis.connectionString"
        yield finding("RD-931", shown + (f"; members: {_names(membership)}" if membership else ""))
    if body is None or policy is not QuorumPolicy.MAJORITY or len(body.members) % 2:
        return
    count = f"{len(body.members)} voters: {', '.join(body.members)}"
    if facts.is_behind_sentinel:
        yield finding("RD-932", f"majority, with serviceName in redis.connectionString and {count}")
    elif len(body.members) == 2:
        yield finding("RD-933", count)


def _clock(facts: GroundFacts) -> Iterator[Finding]:
    if not facts.is_boot_time:
        yield finding("RD-935", "this platform has no CLOCK_BOOTTIME: the clock may stop while the host is suspended")
    if facts.clock_source in COARSE_CLOCKS:
        others = ", ".join(name for name in facts.clock_sources if name != facts.clock_source) or "none"
        yield finding("RD-935", f"the kernel uses {facts.clock_source}; it could use: {others}")
    elif facts.clock_source == "tsc" and facts.is_steady is False:
        yield finding("RD-935", "the kernel uses tsc, and the processor does not say that its counter keeps one rate")


def _disk(facts: GroundFacts) -> Iterator[Finding]:
    if facts.file_system in FORGETFUL:
        where = f"node.dataDir {facts.data_dir} stands on {facts.file_system}, mounted at {facts.mount_point}"
        yield finding("RD-936", where)


def _names(membership: Membership) -> str:
    pending = f" (becoming {', '.join(membership.body.members)})" if membership.old is not None else ""
    return ", ".join((membership.old or membership.body).members) + pending
