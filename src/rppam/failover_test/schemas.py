"""The JSON of failover tests."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from rppam.cluster.admin.faults import SECONDS_MAX, SECONDS_MIN
from rppam.failover_test.model import Method, State
from rppam.http.schemas import Flag, Shape

NUMBER_MAX = 1_000_000
REPORT_CHARS_MAX = 900_000


class NewFailoverTest(Shape):
    """A test that is to begin."""

    method: Method
    asked: Annotated[str, Field(pattern="^[0-9a-f-]{36}$")] | None = None
    """The id of a test that was asked for, which begins now."""


class AskedTest(Shape):
    """A test that the cluster is to run itself."""

    method: Method


class StepShape(Shape):
    """What a test said of itself while it ran."""

    at: str
    said: str


class NewStep(Shape):
    """What a running test says of itself."""

    said: Annotated[str, Field(min_length=1, max_length=500)]


class VerdictShape(Shape):
    """Whether one promise was kept."""

    promise: Annotated[int, Field(ge=1, le=5)]
    title: Annotated[str, Field(max_length=200)]
    held: Flag
    why: Annotated[str, Field(max_length=2_000)]
    """What shows it."""


class FailoverTestShape(Shape):
    """A failover test."""

    id: str
    method: Method
    leader: str
    """Who led when it began."""
    state: State
    by: str
    started_at: str
    ended_at: str | None
    passed: bool | None
    """Whether all five promises were kept; null: it came to no verdicts."""
    verdicts: list[VerdictShape]
    digest: str
    """SHA-256 of the report, as the ledger's event `failover.test` has it."""
    event: str
    """The id of that event."""


class FailoverTestWithReport(FailoverTestShape):
    """A failover test with its report."""

    report: dict[str, Any] | None
    """null: it has none."""
    steps: list[StepShape]
    """What it has said so far, and why it was interrupted; empty once there is a report."""


class FailoverTestList(Shape):
    """The newest tests."""

    items: list[FailoverTestShape]


class FaultRequest(Shape):
    """The fault that the test asks for, by its method."""

    seconds: Annotated[int, Field(ge=SECONDS_MIN, le=SECONDS_MAX)] | None = None
    """For how long; left out: long enough for a standby to lead. A switchover and a failover of Redis take none."""


class FaultTaken(Shape):
    """The fault is under way."""

    said: str
    node: str
    """Whom it happens to; for a failover of Redis, the node that asked Sentinel."""
    seconds: int
    """After so long the node is as before, whatever becomes of who asked; 0: at once."""
    begins_after_ms: int


class Written(Shape):
    """A number that is kept."""

    number: int
    node: str
    """The node that kept it."""


class AllWritten(Shape):
    """All numbers that the test has written, as one node reads them."""

    node: str
    ranges: list[list[int]]
    """First and last of each run of numbers, in order."""
    count: int


class SentinelShape(Shape):
    """What one Sentinel says."""

    sentinel: str
    """Its address."""
    primary: str
    """The one that it names; empty where it did not answer."""
    problem: str
    """Why it did not; else empty."""


class RedisPlacesShape(Shape):
    """The servers of Redis, as the first Sentinel that answers sees them."""

    primary: str
    replicas: list[str]
    """Those that follow it now."""
    sentinels: list[SentinelShape]
    """Every one that the connection string of the asked node names."""


class FailoverReport(Shape):
    """How the test ended."""

    verdicts: Annotated[list[VerdictShape], Field(max_length=5)]
    """All five, or none where it was interrupted."""
    report: dict[str, Any] | None = None
    why: Annotated[str, Field(max_length=500)] = ""
    """Why it was interrupted."""

    @field_validator("verdicts")
    @classmethod
    def _of_each_promise(cls, verdicts: list[VerdictShape]) -> list[VerdictShape]:
        if verdicts and sorted(one.promise for one in verdicts) != [1, 2, 3, 4, 5]:
            raise ValueError("expected one verdict for each of the five promises, or none")
        return verdicts
