"""A failover test: its methods, the five promises, and a verdict for each. Pure."""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.kernel.instant import WallMs

LIMIT_MS: Final = 15_000
"""Within so long a standby has to lead."""


BY_ITSELF: Final = "schedule@cluster"
"""Who runs the tests that the cluster runs itself: by schedule, or because somebody asked for one."""


class Method(StrEnum):
    """How the leader is lost."""

    SWITCHOVER = "switchover"
    STOP = "stop"
    KILL = "kill"
    ISOLATE = "isolate"
    REDIS_FAILOVER = "redis-failover"


MEANING: Final = {
    Method.SWITCHOVER: "the leader releases and invites a standby; nothing fails",
    Method.STOP: "the leader's node is stopped in order, and started again after a while",
    Method.KILL: "all processes of the leader's node are killed at one blow, and started again after a while",
    Method.ISOLATE: "the leader loses Redis and the other members for a while",
    Method.REDIS_FAILOVER: "Sentinel promotes a replica of Redis",
}


class Verdict(NamedTuple):
    """Whether one promise was kept, and what shows it."""

    promise: int
    title: str
    held: bool
    why: str


class State(StrEnum):
    """How far a test has come."""

    ASKED = "asked"
    """Somebody wants it; the leader starts it."""
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"


class Step(NamedTuple):
    """What a test said while it ran."""

    at: WallMs
    said: str


class KeptTest(NamedTuple):
    """A test as it is kept."""

    id: str
    method: Method
    leader: str
    state: State
    by: str
    started_at: WallMs
    ended_at: WallMs | None
    passed: bool | None
    """``None`` where it did not come to verdicts."""
    verdicts: tuple[Verdict, ...]
    digest: str
    """SHA-256 of the report; empty where there is none."""
    event: str
    """The event of the ledger that holds verdicts and digest."""
    report: str
    """JSON; empty where there is none, and in lists."""
    steps: tuple[Step, ...] = ()
    """What it has said so far, and why it was interrupted; empty once there is a report, and in lists."""
