"""What a node measures of itself and its cluster, in the text format that Prometheus scrapes (version 0.0.4).

Numbers only, and no name of a host, a person or another node: it is read without a log-in, as a scraper has none that
lives long enough. ``api.metricsAccess`` says who may read them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final, NamedTuple

from starlette.types import Scope

from rppam import __version__
from rppam.access.tokens.credentials import bearer_token
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import ClusterSnapshot, GaugeView
from rppam.http.errors import UnauthenticatedError
from rppam.http.serving_errors import MetricsElsewhereError, MetricsTokenError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

METRICS_PATH: Final = "/system/metrics"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_KINDS: Final = ("api", "redis client", "redis authority", "redis server")

Sample = tuple[Sequence[tuple[str, str]], float]
"""Labels, and the value."""


class Metric(NamedTuple):
    """One metric with all its samples."""

    name: str
    meaning: str
    samples: Sequence[Sample]
    kind: str = "gauge"


class MetricsAccess(NamedTuple):
    """Who may read metrics: everybody, holders of the token, or this host alone."""

    mode: str = "open"
    token: Secret | None = None

    def check(self, scope: Scope) -> None:
        """Raise :class:`MetricsTokenError` or :class:`MetricsElsewhereError` where it may not."""
        if self.mode == "local" and not _is_here(scope):
            raise MetricsElsewhereError("metrics are shown to this host alone")
        if self.mode == "token" and not self._is_shown(scope):
            raise MetricsTokenError("the token of metrics is needed")

    def _is_shown(self, scope: Scope) -> bool:
        try:
            shown = bearer_token(scope["headers"])
        except UnauthenticatedError:
            return False
        return self.token is not None and compare_digest(shown.encode(), self.token.reveal().encode())


def _is_here(scope: Scope) -> bool:
    client = scope.get("client")
    try:
        address = ip_address(client[0]) if client else None
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback


def metrics_of(snapshot: ClusterSnapshot, epoch: int | None, now: WallMs) -> list[Metric]:
    """``epoch``: at which this node may lead now; ``None``: it may not."""
    statuses = {status.value: 0 for status in MemberStatus} | Counter(one.status.value for one in snapshot.members)
    witnesses = sum(member.role is Role.WITNESS for member in snapshot.members)
    found = [
        _one("rppam_info", "The release that runs.", 1, version=__version__),
        _one("rppam_leader", "1 while this node has permission to lead.", epoch is not None),
        _one("rppam_leader_seen", "1 while this node sees a leader, itself or another.", snapshot.leader is not None),
        _one("rppam_epoch", "The highest epoch of leadership that this node has seen.", snapshot.epoch),
        _one("rppam_ready", "1 while this node takes requests.", snapshot.ready),
        _one("rppam_healthy", "1 while the cluster is healthy as this node sees it.", snapshot.healthy),
        _one("rppam_quorum_met", "1 while enough votes can be won to lead.", snapshot.quorum_met),
        _one("rppam_redis_connected", "1 while Redis answers this node.", snapshot.redis_connected),
        _one("rppam_failover_paused", "1 while an administrator has paused automatic failover.", snapshot.paused),
        _one("rppam_virtual_ip", "1 while the virtual address is on this node's host.", snapshot.virtual_ip_here),
        _by("rppam_members", "Members by status, as this node sees them.", "status", statuses),
        _one("rppam_witnesses", "Members that vote and never lead.", witnesses),
        *_findings(snapshot),
        _one("rppam_warnings", "Sentences in the warnings of health.", len(snapshot.warnings)),
        _by(
            "rppam_member_messages_refused_total",
            "Messages that the member link refused, by reason.",
            "reason",
            snapshot.refused,
        )._replace(kind="counter"),
        _by(
            "rppam_certificate_expires_in_seconds",
            "Seconds until a certificate ends that this node depends on; negative once it has.",
            "certificate",
            {kind: end - _s(now) for kind, end in sorted(_ends(snapshot).items())},
        ),
    ]
    if any(member.has_virtual_ip is not None for member in snapshot.members):
        holders = sum(member.has_virtual_ip is True for member in snapshot.members)
        found.append(_one("rppam_virtual_ip_holders", "Hosts with the virtual address, as their nodes say.", holders))
    if snapshot.knows_vault_key:
        agree = all(finding.code != "RD-956" for finding in snapshot.findings)
        meaning = "0 while a node is seen that has not got the master key of the vault."
        found.append(_one("rppam_vault_keys_agree", meaning, agree))
    found += _of_features(snapshot.gauges)
    found += [*_votes(snapshot), *_database(snapshot), *_disks(snapshot)]
    if (own := snapshot.worker_redis_connected) is not None:
        meaning = "1 while the process that answers has its own connection to Redis, for the cache and limits."
        found.append(_one("rppam_worker_redis_connected", meaning, own))
    if snapshot.store_clock_offset_ms is not None:
        offset_s = _s(snapshot.store_clock_offset_ms)
        found.append(_one("rppam_redis_clock_offset_seconds", "The clock of Redis minus this host's.", offset_s))
    return [metric for metric in found if metric.samples]


def metrics_text(metrics: Iterable[Metric]) -> bytes:
    """The metrics as a scraper reads them."""
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.meaning}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.samples:
            shown = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            lines.append(f"{metric.name}{{{shown}}} {value:.16g}" if shown else f"{metric.name} {value:.16g}")
    return ("\n".join(lines) + "\n").encode()


def _one(name: str, meaning: str, value: float, **labels: str) -> Metric:
    return Metric(name, meaning, [(tuple(labels.items()), float(value))])


def _by(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    return Metric(name, meaning, [(((label, text),), value) for text, value in values.items()])


def _of_features(gauges: Iterable[GaugeView]) -> list[Metric]:
    """Those of one name together, as the format wants it."""
    found: dict[tuple[str, str], list[Sample]] = {}
    for one in gauges:
        labels = ((one.label, one.labelled),) if one.label else ()
        found.setdefault((one.name, one.meaning), []).append((labels, one.value))
    return [Metric(name, meaning, samples) for (name, meaning), samples in found.items()]


def _findings(snapshot: ClusterSnapshot) -> list[Metric]:
    """Those that count, and those that somebody answers for, by severity."""
    counted: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for one in snapshot.findings:
        (counted if one.counts else known)[one.severity.value] += 1
    about = "Findings about Redis and the other members, by severity."
    answered = "Findings that an administrator has acknowledged for now, by severity; not among the others."
    return [
        _by("rppam_findings", about, "severity", dict(sorted(counted.items()))),
        _by("rppam_findings_acknowledged", answered, "severity", dict(sorted(known.items()))),
    ]


def _votes(snapshot: ClusterSnapshot) -> list[Metric]:
    """Whether this node has a vote, and how many that are seen have none."""
    own = snapshot.member(snapshot.node)
    if own is None or own.has_vote is None:
        return []
    lacking = sum(member.has_vote is False for member in snapshot.members)
    return [
        _one("rppam_has_vote", "1 while this node is on the list of members that it knows.", own.has_vote),
        _one("rppam_members_without_vote", "Nodes that are seen and are on no list of members.", lacking),
    ]


def _database(snapshot: ClusterSnapshot) -> list[Metric]:
    """How this node stands with the database, and how many say that they cannot work with it."""
    if snapshot.database_connected is None:
        return []
    lost = sum(member.database_connected is False for member in snapshot.members)
    found = [
        _one(
            "rppam_database_connected",
            "1 while each process of this node can work with the database: it answers, is complete and takes writes.",
            snapshot.database_connected,
        ),
        _one("rppam_members_without_database", "Nodes that say that they cannot work with the database.", lost),
        _one(
            "rppam_database_errors_total",
            "Calls to the database that failed, in all processes of this node that run now.",
            snapshot.database_errors,
        )._replace(kind="counter"),
    ]
    if snapshot.database_latency_ms is not None:
        meaning = "How long the last look at the database took, in the slowest process of this node."
        found.append(_one("rppam_database_latency_seconds", meaning, _s(snapshot.database_latency_ms)))
    return found


def _disks(snapshot: ClusterSnapshot) -> list[Metric]:
    """What is left where this node writes, and whether its promises are kept."""
    seen = [room for room in snapshot.rooms if not room.problem]
    found = [
        _by(
            "rppam_disk_free_bytes",
            "What is left for the node on the disk of a place: data, logs, database.",
            "place",
            {room.place: room.free_bytes for room in seen},
        ),
        _by(
            "rppam_disk_free_inodes",
            "How many files and folders can still be made there.",
            "place",
            {room.place: room.free_inodes for room in seen if room.size_inodes},
        ),
    ]
    if snapshot.keeps_promises is not None:
        meaning = "1 while the disk of this node takes its promises: else it cannot follow as the leader."
        found.append(_one("rppam_promises_kept", meaning, snapshot.keeps_promises))
    return found


def _ends(snapshot: ClusterSnapshot) -> dict[str, float]:
    """The first end of each kind of certificate, without the addresses of the servers that show them."""
    ends: dict[str, float] = {}
    for one in snapshot.certificates:
        kind = next((kind for kind in _KINDS if one.certificate.startswith(kind)), "other")
        end_s = datetime.fromisoformat(one.expires_at).timestamp()
        ends[kind] = min(ends.get(kind, end_s), end_s)
    return ends


def _s(milliseconds: int) -> float:
    return milliseconds / 1000


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
