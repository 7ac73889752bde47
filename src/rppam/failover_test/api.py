"""Failover tests over REST: the history of them, and what a test needs of the cluster while it runs.

The test itself is a client (:mod:`rppam.failover_test.cli`), as what it measures is what clients see. What it asks of
the leader's node is bounded, and over by itself. ``pam_admin`` alone begins one.
"""

import json
import math
from itertools import pairwise
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from rppam.access.rbac.policy import Caller
from rppam.cluster.admin.errors import NodeSilent
from rppam.cluster.admin.faults import BEGINS_AFTER_S, SECONDS_MAX, SECONDS_MIN
from rppam.cluster.admin.ports import Administration
from rppam.cluster.health.ports import NodeStatus
from rppam.config.settings import Settings
from rppam.failover_test.model import KeptTest, Method, Verdict
from rppam.failover_test.policy import ALLOWED, AllowedMethods, check_allowed
from rppam.failover_test.report import canonical, digest_of
from rppam.failover_test.schemas import (
    NUMBER_MAX,
    REPORT_CHARS_MAX,
    AllWritten,
    AskedTest,
    FailoverReport,
    FailoverTestList,
    FailoverTestShape,
    FailoverTestWithReport,
    FaultRequest,
    FaultTaken,
    NewFailoverTest,
    NewStep,
    RedisPlacesShape,
    SentinelShape,
    StepShape,
    VerdictShape,
    Written,
)
from rppam.failover_test.sentinel import fail_over, places
from rppam.failover_test.store import SqlFailoverTests
from rppam.foundation import Foundation
from rppam.http.answers import BODY, HANDED_ON, NO_DATABASE
from rppam.http.errors import NotLeaderError, TooLargeError
from rppam.http.routes import ADMIN, declare
from rppam.http.services import Here
from rppam.http.times import iso_utc_ms
from rppam.kernel.errors import RppamError
from rppam.manager.forwarding import hand_on
from rppam.manager.schemas import OrderTaken

TESTS: Final = "/api/v1/admin/cluster/failover-tests"
ONE: Final = f"{TESTS}/{{testId}}"
failover_tests = APIRouter(tags=["failover tests"])
TestId = Annotated[str, Path(alias="testId", pattern="^[0-9a-f-]{36}$")]
_UNKNOWN: Final = {404: "No failover test has this id", 503: NO_DATABASE}
_RUNNING: Final = {**_UNKNOWN, 409: "The test is over"}
_DEFAULT: Final = FaultRequest()


@failover_tests.get(TESTS, summary="Failover tests that were run", response_model=FailoverTestList)
@declare(ADMIN, {503: NO_DATABASE})
async def list_tests(services: Here, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> FailoverTestList:
    """The newest first, without their reports."""
    return FailoverTestList(items=[_shape(one) for one in await services.get(SqlFailoverTests).newest(limit)])


@failover_tests.post(TESTS, summary="Begin a failover test", status_code=201, response_model=FailoverTestShape)
@declare(
    ADMIN,
    {
        **BODY,
        403: "The account is not `pam_admin`, or the method is not allowed",
        404: "`asked` is the id of no test",
        409: "Another one is under way",
    },
)
async def begin(body: NewFailoverTest, caller: Caller, services: Here) -> FailoverTestShape:
    """Nothing happens to the cluster yet. `rppam failover-test` does it all."""
    check_allowed(await _allowed(services), body.method)
    leader, tests = services.get(NodeStatus).snapshot().leader or "", services.get(SqlFailoverTests)
    if body.asked is not None:
        return _shape(await tests.begin_asked(body.asked, leader, caller.subject))
    return _shape(await tests.begin(body.method, leader, caller.subject))


@failover_tests.post(
    f"{TESTS}/asked", summary="Have the cluster test itself", status_code=202, response_model=FailoverTestShape
)
@declare(
    ADMIN,
    {
        **BODY,
        403: "The account is not `pam_admin`, or the method is not allowed",
        409: "Another one is under way",
        503: NO_DATABASE,
    },
)
async def ask(body: AskedTest, caller: Caller, services: Here) -> FailoverTestShape:
    """The leader starts `rppam failover-test` within seconds; the test's `steps` tell how far it has come."""
    check_allowed(await _allowed(services), body.method)
    leader = services.get(NodeStatus).snapshot().leader or ""
    return _shape(await services.get(SqlFailoverTests).ask(body.method, leader, caller.subject))


@failover_tests.get(f"{TESTS}/redis", summary="Redis, as Sentinel sees it", response_model=RedisPlacesShape)
@declare(ADMIN, {409: "Redis is not watched over by Sentinel", 502: "No Sentinel answers"})
async def redis_places(services: Here) -> RedisPlacesShape:
    """Which server is the primary, and which replicas follow it; what a failover of Redis is judged by."""
    found = await places(services.get(Foundation).config)
    sentinels = [SentinelShape(**one._asdict()) for one in found.sentinels]
    return RedisPlacesShape(primary=found.primary, replicas=list(found.replicas), sentinels=sentinels)


@failover_tests.get(ONE, summary="One failover test", response_model=FailoverTestWithReport)
@declare(ADMIN, _UNKNOWN)
async def show(test_id: TestId, services: Here) -> FailoverTestWithReport:
    """With its report."""
    kept = await services.get(SqlFailoverTests).get(test_id)
    steps = [StepShape(at=iso_utc_ms(one.at), said=one.said) for one in kept.steps]
    report = json.loads(kept.report) if kept.report else None
    return FailoverTestWithReport(**_shape(kept).model_dump(), report=report, steps=steps)


@failover_tests.post(f"{ONE}/steps", summary="Say how far a test has come", status_code=204, response_class=Response)
@declare(ADMIN, {**BODY, **_RUNNING})
async def say(test_id: TestId, body: NewStep, caller: Caller, services: Here) -> None:
    """For those who watch it; said by the test itself."""
    await services.get(SqlFailoverTests).add_step(test_id, caller.subject, body.said)


@failover_tests.post(f"{ONE}/fault", summary="Take the leader away", response_model=FaultTaken)
@declare(
    ADMIN,
    {
        **BODY,
        **HANDED_ON,
        403: "The account is not `pam_admin`, or the method is not allowed",
        404: "No failover test has this id",
        409: "The test is over, no other node could lead, or the leader cannot have this fault made",
        421: "There is no leader to hand it on to, or it leads no more; `leader` and `leaderUrl` say who does",
        502: "No Sentinel began a failover of Redis",
        503: "The database or the control process of the node did not answer",
    },
)
async def make_fault(
    test_id: TestId, request: Request, caller: Caller, services: Here, body: FaultRequest = _DEFAULT
) -> FaultTaken:
    """By the method that the test began with. Any node takes it and hands it on to the leader; the node is as before
    after `seconds`, whatever becomes of who asked."""
    tests = services.get(SqlFailoverTests)
    test = await tests.begin_fault(test_id, caller.subject, await _allowed(services))
    try:
        return await _make(test, body, request, caller.subject, services)
    except NodeSilent:
        raise  # it may have been carried out
    except RppamError as error:
        await tests.fault_failed(test_id, f"{error.row.code}: {error}")
        raise


async def _make(test: KeptTest, body: FaultRequest, request: Request, by: str, services: Here) -> FaultTaken:
    base = services.get(Foundation)
    if test.method is Method.REDIS_FAILOVER:
        return FaultTaken(said=await fail_over(base.config), node=base.node, seconds=0, begins_after_ms=0)
    if test.method is Method.SWITCHOVER:
        taken = await _at_the_leader(request, services, "switch_over", to=None, by=by)
        return FaultTaken(said=taken.said, node=taken.node, seconds=0, begins_after_ms=0)
    seconds = body.seconds or seconds_for(base.config)
    taken = await _at_the_leader(request, services, "fail", fault=test.method.value, seconds=seconds, by=by)
    return FaultTaken(said=taken.said, node=taken.node, seconds=seconds, begins_after_ms=round(BEGINS_AFTER_S * 1_000))


@failover_tests.put(f"{ONE}/writes/{{number}}", summary="Write a number of a test", response_model=Written)
@declare(ADMIN, _RUNNING, unconditional="each number is written once, by the test itself")
async def write(test_id: TestId, number: Annotated[int, Path(ge=1, le=NUMBER_MAX)], services: Here) -> Written:
    """What is acknowledged here is read again after the fault. The same number again changes nothing."""
    await services.get(SqlFailoverTests).write(test_id, number)
    return Written(number=number, node=services.get(Foundation).node)


@failover_tests.get(f"{ONE}/writes", summary="What a test has written", response_model=AllWritten)
@declare(ADMIN, _RUNNING)
async def written(test_id: TestId, services: Here) -> AllWritten:
    """As the asked node reads it."""
    numbers = await services.get(SqlFailoverTests).written(test_id)
    return AllWritten(node=services.get(Foundation).node, ranges=ranges_of(numbers), count=len(numbers))


@failover_tests.put(f"{ONE}/report", summary="End a failover test", response_model=FailoverTestShape)
@declare(ADMIN, {**BODY, **_RUNNING}, unconditional="a test is ended once, by the test itself")
async def finish(test_id: TestId, body: FailoverReport, caller: Caller, services: Here) -> FailoverTestShape:
    """With its verdicts and report, whose digest goes into the ledger; without verdicts it was interrupted."""
    tests = services.get(SqlFailoverTests)
    if not body.verdicts:
        return _shape(await tests.interrupt(test_id, body.why or "interrupted"))
    text = canonical(body.report or {})
    if len(text) > REPORT_CHARS_MAX:
        raise TooLargeError(f"a report of {len(text)} characters; {REPORT_CHARS_MAX} at most are kept")
    verdicts = tuple(Verdict(**one.model_dump()) for one in body.verdicts)
    return _shape(await tests.finish(test_id, caller.subject, verdicts, digest_of(body.report or {}), text))


def seconds_for(config: Settings) -> int:
    """How long a fault lasts by default: well beyond the time in which a standby leads."""
    lease_s = config.cluster.timing.lease_ms / 1_000
    return max(SECONDS_MIN, min(SECONDS_MAX, math.ceil(2 * lease_s) + 4))


def ranges_of(numbers: list[int]) -> list[list[int]]:
    """First and last of each run of numbers; ``numbers`` are in order."""
    if not numbers:
        return []
    starts = [numbers[0], *(after for before, after in pairwise(numbers) if after != before + 1)]
    ends = [*(before for before, after in pairwise(numbers) if after != before + 1), numbers[-1]]
    return [list(one) for one in zip(starts, ends, strict=True)]


async def _allowed(services: Here) -> AllowedMethods:
    return (await services.get(Foundation).hot.get(ALLOWED)).value


async def _at_the_leader(request: Request, services: Here, name: str, **arguments: str | int | None) -> OrderTaken:
    """Have the leader do it; raises NotLeaderError where there is none."""
    base, administration = services.get(Foundation), services.get(Administration)
    leader = services.get(NodeStatus).snapshot().leader
    if leader is None:
        raise NotLeaderError(base.node, None, None)
    if leader != base.node:
        return await hand_on(request, services, leader, name, **arguments)
    return OrderTaken(said=await getattr(administration, name)(**arguments), node=base.node)


def _shape(test: KeptTest) -> FailoverTestShape:
    return FailoverTestShape(
        id=test.id,
        method=test.method,
        leader=test.leader,
        state=test.state,
        by=test.by,
        started_at=iso_utc_ms(test.started_at),
        ended_at=None if test.ended_at is None else iso_utc_ms(test.ended_at),
        passed=test.passed,
        verdicts=[VerdictShape(**one._asdict()) for one in test.verdicts],
        digest=test.digest,
        event=test.event,
    )
