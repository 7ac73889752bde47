"""Every state that a node can know of itself and its cluster, made bad: what the page of health is made from.

A state is a change of a snapshot that is well. What each surface then says is not written here: the page asks the code
that speaks there. Only what the log says stands here, as its beginning; a test finds it in the code.
"""

from collections.abc import Callable, Iterable
from datetime import date
from typing import Final, NamedTuple

from msgspec.structs import replace

from rppam.app.files_watch import HISTORY
from rppam.app.members import NO_KEY, NO_SEALING_KEY
from rppam.app.serving_watch import gone, idle
from rppam.catalogue.table import finding
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.driver.node_tasks import told_of
from rppam.cluster.driver.waiting import PATIENCE_S, Waiting
from rppam.cluster.health.model import (
    CertificateView,
    ClusterSnapshot,
    DiskRoom,
    GaugeView,
    MemberView,
    VoterKind,
    VoteView,
)
from rppam.cluster.health.votes_view import UNFIT
from rppam.cluster.store import store_warnings as shared
from rppam.db.condition import Condition, DatabaseState, state_of
from rppam.db.errors import DatabaseUnknown
from rppam.doctor.acknowledged import Entry, acknowledged
from rppam.failover_test.errors import ScheduledTestBroken, ScheduleImpossible
from rppam.kernel.instant import WallMs
from rppam.recordings.errors import RecordingStoreFailed
from rppam.rotation.machine import Phase
from rppam.rotation.model import Cause, Rotation
from rppam.rotation.watch import warning as rotation_warning
from rppam.siem.model import Format, Options, Target, TargetKind
from rppam.siem.store import Progress
from rppam.siem.watch import gauges as siem_gauges, told as siem_told

Change = Callable[[ClusterSnapshot], ClusterSnapshot]

FINDING: Final = "the finding"
"""The log has the finding itself."""
TIME: Final = "2026-11-18T11:06:41Z"


class State(NamedTuple):
    """One state that is bad."""

    area: str
    name: str
    change: Change
    log: str
    """How the line in the log begins, or what it holds."""


def _member(name: str, role: Role) -> MemberView:
    return MemberView(
        name, f"{name}.example.org", role, MemberStatus.HEALTHY, TIME, 300, True, 7, "1.0.0", f"https://{name}:7101", 1,
        4, True, True, True, role is Role.LEADER, True,
    )  # fmt: skip


WELL: Final = ClusterSnapshot(
    cluster_id="cluster-001",
    node="pam-1",
    role=Role.LEADER,
    leader="pam-1",
    epoch=7,
    members=(_member("pam-1", Role.LEADER), _member("pam-2", Role.STANDBY), _member("pam-3", Role.STANDBY)),
    redis_enabled=True,
    redis_connected=True,
    redis_reason="",
    quorum_met=True,
    quorum_reason="",
    quorum_policy="majority",
    votes=tuple(VoteView(f"pam-{one}", VoterKind.MEMBER, 1, "pam-1", 900, True, True, "") for one in (1, 2, 3)),
    safety_level="voted",
    ready=True,
    time=TIME,
    virtual_ip="10.0.1.50",
    virtual_ip_here=True,
    database_connected=True,
    database_latency_ms=3,
    worker_redis_connected=True,
    keeps_promises=True,
    rooms=(DiskRoom("data", "/var/lib/rppam", 9_000_000_000, 20_000_000_000, 900_000, 1_000_000),),
)


def _with(**changes: object) -> Change:
    return lambda seen: replace(seen, **changes)


def _member_with(name: str, **changes: object) -> Change:
    def change(seen: ClusterSnapshot) -> ClusterSnapshot:
        return replace(
            seen, members=tuple(replace(one, **changes) if one.node == name else one for one in seen.members)
        )

    return change


def _all(*changes: Change) -> Change:
    def change(seen: ClusterSnapshot) -> ClusterSnapshot:
        for one in changes:
            seen = one(seen)
        return seen

    return change


def _found(code: str, evidence: str) -> Change:
    return lambda seen: replace(seen, findings=(*seen.findings, finding(code, evidence)))


def _warned(*sentences: str) -> Change:
    return lambda seen: replace(seen, warnings=(*seen.warnings, *sentences))


def _gauge(name: str, value: float, label: str = "", labelled: str = "") -> Change:
    return lambda seen: replace(seen, gauges=(*seen.gauges, GaugeView(name, "", value, label, labelled)))


def _siem_target(*, refuses: bool) -> Target:
    failed_at, problem = (WallMs(1_795_000_000_000), "it answered with the status 503") if refuses else (None, "")
    kind, url = TargetKind.SPLUNK, "https://splunk.example.org:8088"
    return Target("1f0c", "splunk", kind, Format.JSON, url, Options(), None, True, 1, 0, None, failed_at, problem)


def _database(code: str, evidence: str) -> Change:
    return _database_state(state_of(Condition(code, evidence, errors=3), {}))


def _database_state(state: DatabaseState) -> Change:
    told = _with(
        database_connected=state.is_connected,
        database_reason=state.reason,
        database_latency_ms=state.latency_ms,
        database_errors=state.errors,
        findings=state.findings,
    )
    return _all(told, _member_with("pam-1", database_connected=state.is_connected))


_WORKER: Final = state_of(
    Condition(latency_ms=3), {"worker 1": Condition(latency_ms=4), "worker 2": Condition("RD-607", "refused")}
)
_LOST_REDIS: Final = "RPPAM-2101: connection refused at 10.0.0.7:6379"


def states() -> Iterable[State]:
    """All of them, by area."""
    yield from _leadership()
    yield from _stores()
    yield from _node()


def _leadership() -> Iterable[State]:
    nobody = "an election is due in 900 ms, when earlier promises have ended"
    none = (_member_with("pam-1", role=Role.STANDBY), _with(role=Role.STANDBY, leader=None, no_leader_reason=nobody))
    log = "this node sees no leader"
    yield State("Leadership", "nobody leads", _all(*none), log)
    short = "1 of 3 votes can be won and 2 are needed (majority). pam-2: no answer; pam-3: no answer"
    change = _with(quorum_met=False, quorum_reason=short, no_leader_reason=short)
    yield State("Leadership", "too few votes", _all(*none, change), log)
    rest = "nobody can lead: pam-1, pam-2 are in maintenance: rppam cluster maintenance pam-1 off. Or bring back pam-3"
    yield State("Leadership", "the others are in maintenance", _all(*none, _with(no_leader_reason=rest)), log)
    unfit = f"nobody can lead: pam-1: the vault needs another master key; pam-2: {UNFIT}; pam-3: {UNFIT}"
    yield State("Leadership", "none that could lead should", _all(*none, _with(no_leader_reason=unfit)), log)
    pause = "automatic failover is paused by eve: nobody takes over by itself (rppam cluster resume)"
    change = _all(_with(paused=True, paused_by="eve"), _warned(pause))
    yield State("Leadership", "failover is paused", change, "pauses automatic failover")
    waits = "the members become pam-1, pam-2 instead of pam-1, pam-2, pam-3: 2 of the 3 must have it on disk"
    yield State("Members", "a change of members waits", _with(pending_change=waits), "members are now")
    change = _member_with("pam-2", status=MemberStatus.UNREACHABLE)
    yield State("Members", "a member is unreachable", change, "Heartbeat timeout for node")
    change = _member_with("pam-2", status=MemberStatus.SUSPECT)
    yield State("Members", "a member is suspect", change, "heartbeats")
    change = _all(_member_with("pam-1", has_vote=False), _found("RD-902", "the list of members has pam-2, pam-3"))
    yield State("Members", "this node is no member", change, "asks to become a member")
    change = _all(_member_with("pam-3", has_vote=False), _found("RD-908", "pam-3: it is on no list"))
    yield State("Members", "another node is no member", change, "asks to become a member")
    drift = "cluster.virtualIp: pam-1, pam-2 have 10.0.1.50/24; pam-3 has another value"
    yield State("Members", "nodes differ in a setting", _found("RD-909", drift), "nothing: health alone compares")
    lacking = _found("RD-956", "the vault needs 5d41402abc4b2a76; pam-3 has another one")
    change = _all(_with(knows_vault_key=True), lacking)
    yield State("Members", "a node has another master key of the vault", change, "this node does not lead")
    change = _all(_member_with("pam-3", version="1.1.0"), _found("RD-910", "pam-1 1.0.0, pam-2 1.0.0, pam-3 1.1.0"))
    yield State("Members", "nodes of two releases", change, "nothing: health alone compares")
    change = _member_with("pam-3", settings_revision=3)
    yield State("Members", "a node uses older settings", change, "nothing: health alone compares")
    change = _all(
        _member_with("pam-1", has_virtual_ip=False),
        _with(virtual_ip_here=False),
        _found("RD-632", "10.0.1.50 is on no host: pam-1 leads and does not have it"),
    )
    yield State("Address", "the virtual address is nowhere", change, "the virtual address")
    change = _all(
        _member_with("pam-3", has_virtual_ip=True), _found("RD-632", "10.0.1.50 is on the hosts of pam-1, pam-3")
    )
    yield State("Address", "the virtual address is on two hosts", change, "the virtual address")
    at, change = "10.0.1.53 port 53:", _gauge("rppam_dns_name", 0)
    for code, name, evidence in (
        ("RD-633", "the name server is away", "no answer within 5 s"),
        ("RD-634", "the name server refuses updates", "it answers REFUSED for pam.example.com"),
        ("RD-635", "the name server is not the primary", "it answers NOTAUTH for pam.example.com"),
        ("RD-636", "the TSIG key is wrong", "it answers BADSIG for the key rppam-key (hmac-sha256)"),
        ("RD-637", "the name server has another time", "BADTIME"),
        ("RD-638", "the name server fails", "it answers SERVFAIL for pam.example.com"),
        ("RD-639", "the name in DNS is another's", "it belongs to the cluster staging"),
        ("RD-640", "no address of this host is known for the name", "it is reached from 127.0.0.1"),
    ):
        yield State("Address", name, _all(change, _found(code, f"{at} {evidence}")), "does not follow this leader")
    failed = _found("RD-641", "/etc/rppam/leader: gained: it ended with 22; its last words: curl: (22) 403")
    yield State("Address", "the leader's program fails", failed, "the leader's program")


def _stores() -> Iterable[State]:
    yield from _shared_places()
    lost = _all(
        _with(redis_connected=False, redis_reason=_LOST_REDIS),
        _member_with("pam-1", redis_connected=False),
        _found("RD-101", "connection refused at 10.0.0.7:6379"),
    )
    yield State("Redis", "Redis does not answer", lost, "the store does not answer this node")
    alone = "a process of this node that answers requests has no connection to Redis, while leadership has one"
    change = _all(_with(worker_redis_connected=False), _warned(alone))
    yield State("Redis", "a worker has no connection to Redis", change, "lost Redis")
    change = _member_with("pam-3", redis_connected=False)
    yield State("Redis", "another node has no connection to Redis", change, "nothing: that node's own log says it")
    unread = "redis.password: /etc/rppam/redis.password cannot be read; what was read before stays in use"
    yield State(
        "Redis", "the file of its password cannot be read", _warned(unread), "what was read before stays in use"
    )
    for code, name, evidence in (
        ("RD-607", "the database does not answer", "the database did not answer within 2000 ms"),
        ("RD-622", "tables of another release", "the tables are at revision 9999, made by a newer release"),
        ("RD-623", "the database takes no writes", "the server is a standby of another PostgreSQL"),
        ("RD-624", "the database's disk is full", "could not write to file: No space left on device"),
        ("RD-625", "half of a restore", "these tables are missing: epochs"),
        ("RD-626", "the database is damaged", "invalid page in block 7 of relation base/5/1259"),
        ("RD-628", "a right is missing", "permission denied for table users"),
    ):
        yield State("Database", name, _database(code, evidence), FINDING)
    yield State("Database", "one worker alone has no database", _database_state(_WORKER), FINDING)
    change = _member_with("pam-3", database_connected=False)
    yield State("Database", "another node has no database", change, "nothing: that node's own log says it")
    newer = "the database's tables are at revision 99, made by a newer release"
    yield State(
        "Database", "tables that this release still works with", _warned(newer), "nothing: health alone says it"
    )
    broken = "event 7: its text is not the one that was hashed"
    yield State("Ledger", "the ledger is broken", _found("RD-630", broken), FINDING)
    yield State("Ledger", "the ledger was put back", _found("RD-631", "it has 7 events; this node has seen 9"), FINDING)
    late = "events wait for their place in the ledger, the oldest for more than 30 s: no leader integrates them"
    yield State("Ledger", "events are not integrated", _warned(late), "events wait for their place in the ledger")
    kept = "RPPAM-8005: /var/lib/rppam/ledger.json cannot be written: No space left on device"
    yield State("Ledger", "what was seen of it cannot be kept", _warned(kept), "cannot be written")
    doubted = "the ledger is not the one that was seen by pam-3 (it has 7 events, of which 9 were seen signed)"
    yield State("Ledger", "a witness alone does not believe it", _found("RD-631", doubted), FINDING)
    kept = "RPPAM-8005: no cosignature comes from pam-3 (ledger.json cannot be written: No space left on device)"
    yield State("Ledger", "a witness cannot keep what it has seen", _warned(kept), "no cosignature comes from")
    anew = "within the last day these members had lost what they had seen of the ledger, and began anew: pam-3"
    yield State("Ledger", "a member began anew", _warned(anew), "began anew")
    yield from _features()


def _known() -> Iterable[State]:
    """Findings that somebody answers for, and one whose time is over."""
    for name, today in (("is acknowledged", date(2027, 1, 10)), ("was acknowledged until yesterday", date(2027, 2, 1))):
        known = Entry("RD-305", "a trial", "alice", "2027-01-31")
        found = acknowledged([finding("RD-305", "INFO memory: maxmemory:209715200 (200 MB)")], [known], "pam-1", today)
        yield State("Settings", f"a finding {name}", _with(findings=found), FINDING)


def _features() -> Iterable[State]:
    closed = "this node refuses vault work: RPPAM-8421: the vault needs 5d41402abc4b2a76, and this node has another one"
    change = _all(_with(knows_vault_key=True), _found("RD-956", closed))
    yield State("Vault", "this node has another master key, or none", change, "the watch over the vault's keys")
    sealed = "this node refuses vault work: RPPAM-8425: nobody has brought the shares together"
    change = _all(_with(knows_vault_key=True), _found("RD-956", sealed))
    yield State("Vault", "it is sealed on this node", change, "the watch over the vault's keys")
    empty = "this node refuses vault work: RPPAM-8420: /var/lib/rppam/keys/sealing.key is not there"
    yield State("Vault", "no master key, and nothing in it yet", _warned(empty), "the watch over the vault's keys")
    stuck = Rotation("r1", "e1", "root", "web1", Cause.SCHEDULE, Phase.UNCERTAIN, 3, "connection lost", "pam-1",
                     WallMs(0), WallMs(0), None, None)  # fmt: skip
    change = _all(_warned(rotation_warning([stuck])), _gauge("rppam_rotations", 1, "phase", "uncertain"))
    yield State("Vault", "a secret cannot be changed on its target", change, "the watch over rotations")
    for name, lag_ms, failing_ms in (
        ("a target does not take its events", 75_000, 70_000),
        ("a target gets its events late", 960_000, 0),
    ):
        seen = [Progress(_siem_target(refuses=failing_ms > 0), 4_200, lag_ms, failing_ms)]
        change = _all(_warned(siem_told(seen)), _with(gauges=siem_gauges(seen)))
        yield State("SIEM", name, change, "the watch over SIEM targets")
    unsent = "notifications are not taken: mail has 3 waiting (connection refused); they are sent again"
    yield State("Notifications", "a channel does not take them", _warned(unsent), "the watch over notifications")
    lost = (
        "notifications were given up after three days, and nobody got them: 3 of mail (connection refused); mend the "
        "channel and save it, and they are sent"
    )
    yield State("Notifications", "some were given up", _warned(lost), "the watch over notifications")
    change = _all(_warned(told_of(RecordingStoreFailed("the folder /srv/recordings is not there"))),
                  _gauge("rppam_recordings_store", 0))  # fmt: skip
    yield State(
        "Recordings", "this node has no folder or bucket for them", change, "is not there: is the share mounted"
    )
    change = _all(_warned(gone(0, 1)), _gauge("rppam_gateways", 0))
    yield State("SSH gateway", "none runs here", change, "the watch over the gateways")
    broken = told_of(ScheduledTestBroken("the scheduled failover test 4f1a broke a promise: 1. nobody led for 17 s"))
    yield State("Failover test", "the last one by schedule broke a promise", _warned(broken), "is tried again every")
    impossible = told_of(ScheduleImpossible("the node that leads runs as a single process"))
    yield State("Failover test", "none can be started by schedule", _warned(impossible), "is tried again every")
    failed = "the expiry of grants and requests failed: KeyError"
    yield State("Work of the leader", "it fails", _warned(failed), "is tried again every")
    waits = Waiting("the expiry of grants and requests")
    waits.told(DatabaseUnknown("no answer within 2000 ms"), 0.0)
    told = waits.told(DatabaseUnknown("no answer within 2000 ms"), PATIENCE_S)
    yield State(
        "Work of the leader", "it gets nothing from a database that is well", _warned(f"{told}"), "again and again"
    )


def _shared_places() -> Iterable[State]:
    """What somebody else writes, or takes away, where the cluster keeps its own."""
    names, life = "pam-9", "5d41402abc4b2a76"
    for name, sentence in (
        ("another program writes under the cluster's keys", f"{shared.FOREIGN}rppam:leader is a list"),
        ("keys of the cluster vanish", shared.VANISHES),
        ("heartbeats that no holder of the key wrote", shared.UNAUTHENTICATED.format(names=names)),
        ("names that show no life", shared.PASSED_OVER.format(count=40, names=names)),
        ("orders that no holder of the sealing key signed", shared.UNSEALED.format(names=names)),
        ("a crowd of names", shared.CROWD.format(count=40, names=names)),
        ("another process has this node's name", shared.NAMESAKE.format(node="pam-1", life=life, host="web1")),
    ):
        yield State("Redis", name, _warned(sentence), sentence[:24])
    outranked = shared.OUTRANKED.format(newest=9, holder="pam-8", epoch=7)
    yield State("Database", "it knew a newer epoch than the leader's", _warned(outranked), "the database knew epoch")


TASKS: Final = {
    "the expiry of grants and requests": "it fails",
    "the forgetting of old names": "it fails",
    "the pruning of old events": "it fails",
    "the journal of the licence": "what becomes of it cannot be recorded",
    "the deleting of old recordings": "it fails",
    "the joining of recordings": "it fails",
    "the record of who joined": "it fails",
    "the sweep of check-outs": "it fails",
    "the change of the vault's keys": "it fails",
    "the sweep of old sessions": "it fails",
    "the sweep of sessions without a gateway": "it fails",
    "the rotation of secrets": "a secret cannot be changed on its target",
    "the watch over rotations": "a secret cannot be changed on its target",
    "the integration of the ledger": "events are not integrated",
    "the cosignatures of witnesses": "a witness alone does not believe it",
    "the delivery of notifications": "a channel does not take them",
    "the watch over notifications": "a channel does not take them",
    "the watch over SIEM targets": "a target does not take its events",
    "the delivery to SIEM targets": "a target does not take its events",
    "the schedule of failover tests": "the last one by schedule broke a promise",
    "the watch over the vault's keys": "this node has another master key, or none",
    "the opening of the vault": "it is sealed on this node",
    "the watch over the gateways": "none runs here",
    "the watch over the workers": "some API workers do not run",
    "the watch over the signing keys": "the signing keys on the disk cannot be used",
    "the watch over history and log": "the history cannot be written",
    "the watch over the store of recordings": "this node has no folder or bucket for them",
    "failover tests that were asked for": "none can be started by schedule",
    "the list of acknowledged findings": "a finding is acknowledged",
    "the leader's program": "the leader's program fails",
    "the watch over the leader's program": "the leader's program fails",
    "the name in DNS": "the name server is away",
    "the watch over the name in DNS": "the TSIG key is wrong",
}
"""What nodes and leaders do beside, and the state that says when it does not work. A test finds each in the code."""


def _node() -> Iterable[State]:
    unable = "this member cannot vote"
    change = _all(_with(keeps_promises=False), _found("RD-618", "the promise file was written on another host"))
    yield State("Promise file", "it is another host's, or a copy", change, "its promise file is another host's")
    change = _all(_with(keeps_promises=False), _found("RD-619", "No space left on device"))
    yield State("Promise file", "it cannot be written", change, unable)
    history = HISTORY.format(path="/var/lib/rppam/history.jsonl", why="Is a directory")
    yield State("Disks", "the history cannot be written", _warned(history), "cannot be written")
    low = DiskRoom("data", "/var/lib/rppam", 9_000_000, 20_000_000_000, 900_000, 1_000_000)
    change = _all(_with(rooms=(low,)), _found("RD-620", "data /var/lib/rppam: 8.6 MiB are left"))
    yield State("Disks", "little room is left", change, FINDING)
    orders = "orders are not kept on disk: No space left on device"
    yield State("Disks", "orders cannot be kept", _warned(orders), "an order is not on disk")
    clock = "the clock of pam-3 runs 4 % slower than this host's; its promises are not counted"
    yield State("Clock", "a clock runs at another rate", _warned(clock), "its promises are not counted")
    change = _with(store_clock_offset_ms=9_000)
    yield State("Clock", "the clock of Redis is off", change, "nothing: only people read that clock")
    change = _found("RD-643", "the database's clock is 45 s behind this host's")
    yield State("Clock", "the clock of the database is off", change, "the database's clock is")
    bad = "the changed certificate of the API cannot be used, the one of before stays in use: it ended"
    yield State("Certificates", "the API's new one cannot be used", _warned(bad), "the changed certificate of the API")
    for kind, name in (("api", "the API's ends soon"), ("redis server 10.0.0.7:6379", "that of Redis ends soon")):
        end = CertificateView(kind, "2026-11-20T00:00:00Z", 1)
        change = _all(_with(certificates=(end,)), _warned(f"the certificate ({kind}) ends in 1 day"))
        yield State("Certificates", name, change, "nothing: health and rppam doctor say it for weeks")
    change = _warned("the licence of ACME ends in 5 days")
    yield State("Licence", "it ends soon, or has ended", change, "nothing: health and rppam doctor say it for weeks")
    unwritten = _warned("the journal of the licence failed: KeyError; look at this node's log")
    yield State("Licence", "what becomes of it cannot be recorded", unwritten, "the journal of the licence")
    change = _all(_with(refused={"forged": 4}), _warned("pam-3 does not hold the key of this cluster"))
    yield State("Keys", "keys of members differ", change, "does not hold the key of this cluster")
    for name, sentence, file in (
        ("there is no cluster key", NO_KEY, "cluster.key"),
        ("there is no sealing key", NO_SEALING_KEY, "sealing.key"),
    ):
        change = _warned(sentence.format(path=f"/var/lib/rppam/keys/{file}"))
        yield State("Keys", name, change, sentence.partition(",")[0].partition(" at ")[0])
    change = _found("RD-603", "/var/lib/rppam/keys/jwt holds no signing key (jwt*.pem)")
    yield State(
        "Keys", "the signing keys on the disk cannot be used", change, "the changed signing keys cannot be used"
    )
    change = _found("RD-642", "pam-1, pam-2 have k1, k2; pam-3 has another value")
    yield State("Keys", "nodes have different signing keys", change, "nothing: health alone compares")
    change = _warned("api.host: the API is reached from other hosts without TLS")
    yield State("Settings", "the config should be put right", change, "nothing: health and rppam config check say it")
    yield from _known()
    why = "the control process of this node is restarting"
    change = _all(
        _with(role=Role.STANDBY, leader=None, redis_connected=False, redis_reason=why, quorum_met=False),
        _with(quorum_reason=why, votes=(), no_leader_reason=why, virtual_ip_here=False, database_connected=None),
        _warned(why),
    )
    yield State("Processes", "the control process is away", change, "the control process")
    change = _all(_warned(idle(1, 2)), _gauge("rppam_workers", 1))
    yield State("Processes", "some API workers do not run", change, "the watch over the workers")
    change = _all(_found("RD-707", "none of this node's API workers runs"), _gauge("rppam_workers", 0))
    yield State("Processes", "no API worker runs here", change, "the watch over the workers")
    change = _found("RD-707", "pam-3: none of its API workers runs, as it says itself")
    yield State("Processes", "another node answers no requests", change, "nothing: that node's own log says it")
    change = _all(_member_with("pam-1", status=MemberStatus.MAINTENANCE), _with(ready=False))
    yield State("Processes", "the node is in maintenance", change, "puts into maintenance")
