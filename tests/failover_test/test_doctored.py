"""The command against nodes that break a promise on purpose, and those that no test should begin on."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from rppam.access.tokens.target import Target
from rppam.failover_test import cli, preflight, tester, traffic
from rppam.failover_test.cli import _test
from rppam.failover_test.client import CannotTestError, Cluster
from rppam.failover_test.model import Method
from rppam.failover_test.unfinished import StateFile, Unfinished
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret
from tests.failover_test.doctored import TEST, Doctored

pytestmark = pytest.mark.integration

LATE_MS = 300


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(tester, "BEFORE_S", 0.2)
    monkeypatch.setattr(tester, "AFTER_S", 0.1)
    monkeypatch.setattr(tester, "PROMOTION_S", 1.0)
    monkeypatch.setattr(tester, "BACK_S", 0.6)
    monkeypatch.setattr(tester, "CALM_S", 0.6)
    monkeypatch.setattr(tester, "SLOW_LOOK_S", 0.05)
    monkeypatch.setattr(traffic, "EVERY_S", 0.02)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return iter([None])


def cluster_of(
    nodes: Doctored, *, is_own: bool = True, urls: tuple[str, ...] = (), named: tuple[str, ...] = ()
) -> Cluster:
    target = Target(nodes.urls["node2"], lambda: Secret("token"), Trust(), is_own)
    return Cluster(target, urls or (nodes.urls["node2"],), named)


async def ran(nodes: Doctored, **options: Any) -> int:
    known = {"as_json": False, "dry_run": False, "method": "kill", "yes": True, "seconds": None, "report": None}
    return await _test(cluster_of(nodes), {**known, **options})


def never(nodes: Doctored) -> None:
    nodes.promotes = lambda: None


def late(nodes: Doctored) -> None:
    def promote() -> None:
        asyncio.get_running_loop().call_later(LATE_MS / 1_000, nodes.promote)

    nodes.promotes = promote


def forgets(nodes: Doctored) -> None:
    nodes.lost_by["node3"] = {2, 3}


def signs_out(nodes: Doctored) -> None:
    nodes.sessions_end = True


def stays_leader(nodes: Doctored) -> None:
    def both() -> None:
        nodes.promote()
        healthy = nodes.health

        def doctored(node: str) -> dict[str, Any]:
            return {**healthy(node), "role": "leader"} if node == "node1" else healthy(node)

        nodes.health = doctored  # type: ignore[method-assign]

    nodes.promotes = both


@pytest.mark.parametrize(
    ("doctor", "broken", "why"),
    [
        (lambda _: None, set(), ""),
        (never, {1, 2, 5}, "no standby was promoted"),
        (late, {2}, "later than the"),
        (forgets, {3}, "node3 lacks 2 (2, 3)"),
        (signs_out, {4}, "node1 answered it is over (RPPAM-6005)"),
        (stays_leader, {5}, "it says that its role is leader"),
    ],
    ids=["none", "promotion", "in time", "data", "sessions", "return"],
)
async def test_a_promise_that_is_broken_on_purpose_is_found(
    doctor: Callable[[Doctored], None],
    broken: set[int],
    why: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rppam.failover_test.observed.LIMIT_MS", LATE_MS - 50)
    nodes = Doctored()
    doctor(nodes)
    page = tmp_path / "test.html"
    async with nodes.served():
        code = await ran(nodes, report=page)
    assert code == (1 if broken else 0)
    (kept,) = nodes.reports
    assert {one["promise"] for one in kept["verdicts"] if not one["held"]} == broken
    said = capsys.readouterr().out
    assert why in said
    assert ("all five promises were kept" in said) is (not broken)
    assert ("A promise was broken" in page.read_text()) is bool(broken)
    assert nodes.users == 0, "the account of the test is gone"
    assert StateFile().read() is None


@pytest.mark.parametrize(
    ("view", "members", "why"),
    [
        ({"clusterHealthy": False, "redisConnected": False, "redisReason": "refused"}, {}, "Redis is away: refused"),
        ({"clusterHealthy": False}, {"node3": {"status": "unreachable"}}, "node3 is unreachable"),
        ({}, {"node3": {"status": "maintenance"}}, "node3 is maintenance already"),
        ({"paused": True, "pausedBy": "alice"}, {}, "automatic failover is paused by alice"),
        ({"leaderNode": None, "noLeaderReason": "too few votes"}, {}, "no leader: too few votes"),
    ],
)
async def test_no_test_begins_where_the_cluster_is_not_well(
    view: dict[str, Any], members: dict[str, Any], why: str
) -> None:
    nodes = Doctored()
    nodes.view, nodes.members = view, members
    async with nodes.served():
        with pytest.raises(CannotTestError, match=why):
            await ran(nodes)
    assert not any("failover-tests" in one for one in nodes.asked)


async def test_a_note_is_no_reason_to_refuse() -> None:
    said = {"what": "It is so.", "evidence": "seen", "fix": "Mend it."}
    note, warning = {"code": "RD-306", "severity": "note", **said}, {"code": "RD-302", "severity": "warning", **said}
    nodes = Doctored()
    nodes.view = {"clusterHealthy": False, "findings": [note, warning]}
    nodes.members = {"node3": {"status": "unreachable"}}
    async with nodes.served():
        with pytest.raises(CannotTestError) as caught:
            await ran(nodes)
    assert "refused: node3 is unreachable; RD-302: It is so. Mend that first" in str(caught.value)


async def test_no_test_begins_on_one_node() -> None:
    nodes = Doctored()
    nodes.names = ["node1", "node2"]
    nodes.leader = "node2"
    nodes.members = {"node1": {"role": "witness"}}
    async with nodes.served():
        with pytest.raises(CannotTestError, match=r"only node of the cluster.*rppam init --bundle"):
            await ran(nodes)


async def test_no_test_begins_by_a_method_that_is_not_allowed() -> None:
    nodes = Doctored()
    nodes.allowed["kill"] = False
    async with nodes.served():
        with pytest.raises(CannotTestError, match=r"'kill' is not allowed here.*failoverTest/allowedMethods"):
            await ran(nodes)


async def test_a_given_token_goes_only_where_it_was_named() -> None:
    nodes = Doctored()
    async with nodes.served():
        with pytest.raises(CannotTestError, match=r"node1 could not be asked afterwards.*--node"):
            await preflight.preflight(cluster_of(nodes, is_own=False), Method.KILL)
        assert not any("writes" in one for one in nodes.asked)
        plan = await preflight.preflight(
            cluster_of(nodes, is_own=False, named=(nodes.urls["node1"], nodes.urls["node3"])), Method.KILL
        )
    assert plan.urls == nodes.urls


async def test_a_dry_run_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = Doctored()
    async with nodes.served():
        assert await ran(nodes, dry_run=True, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["leader"] == "node1"
    assert all(one.startswith("GET") for one in nodes.asked)


async def test_what_a_test_that_died_has_left_is_cleaned_up_by_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = Doctored()
    nodes.users = 1
    async with nodes.served():
        dead = 2**22 + 1
        StateFile().write(
            Unfinished(dead, TEST, "kill", nodes.urls["node2"], "u1", "node1 has all its processes killed")
        )
        assert await ran(nodes) == 0
    assert nodes.users == 0
    assert nodes.reports[0] == {
        "verdicts": [],
        "why": "its command died after the fault: node1 has all its processes killed",
    }
    assert "an earlier test (kill) was interrupted" in capsys.readouterr().out


async def test_what_was_left_at_another_cluster_is_not_forgotten() -> None:
    nodes = Doctored()
    async with nodes.served():
        StateFile().write(Unfinished(2**22 + 1, TEST, "kill", "http://elsewhere:7101"))
        with pytest.raises(CannotTestError, match="run this with --url http://elsewhere:7101"):
            await ran(nodes)


async def test_a_state_file_that_cannot_be_written_stops_the_test_before_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    nodes = Doctored()
    async with nodes.served():
        with pytest.raises(CannotTestError, match="cannot be written"):
            await ran(nodes)
    assert not any("fault" in one for one in nodes.asked)
    assert os.getpid()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (asyncio.CancelledError(), "interrupted, so there are no verdicts"),
        (KeyboardInterrupt(), "interrupted, so there are no verdicts"),
        (KeyError("x"), "failed in a way that nobody foresaw: KeyError"),
    ],
)
def test_what_ends_without_verdicts_never_says_that_a_promise_was_broken(
    raised: BaseException, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> int:
        raise raised

    monkeypatch.setattr(cli, "_main", fail)
    monkeypatch.setenv("RPPAM_TOKEN", "token")
    ended = CliRunner().invoke(cli.command, ["--url", "http://127.0.0.1:1"], standalone_mode=False)
    assert (ended.return_value, said in ended.stderr) == (2, True), ended.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--token", "eyJhbGciOi"], "A token itself would stand in the process list"),
        (["--token", "@/none"], "found no file /none"),
        (["--report", "x.pdf"], "expected a file that ends with .html or .json"),
        (["--url", "node1"], "expected http://HOST:PORT"),
    ],
)
def test_wrong_usage_is_said_before_anybody_is_asked(words: list[str], said: str) -> None:
    ended = CliRunner().invoke(cli.command, words, standalone_mode=False)
    assert isinstance(ended.exception, click.UsageError)
    assert said in ended.exception.format_message()
