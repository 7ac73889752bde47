"""The demo's table: what each row says of a node, and that it fits a narrow screen."""

import io

from rich.console import Console

from rppam.cli.screen import age
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.health.model import ClusterHealth
from rppam.demo.board import Board, RunningNode, board_of
from rppam.demo.events import ClusterWatch, Event
from rppam.demo.screen import picture
from tests.support.health import seen_health, seen_member

NODES = [RunningNode(f"node{n}", f"http://127.0.0.1:{7091 + 10 * n}", 100 + n) for n in (1, 2, 3)]


def view(node: str, leader: str | None, epoch: int, ages: dict[str, int]) -> ClusterHealth:
    members = tuple(
        seen_member(name, Role.LEADER if name == leader else Role.STANDBY, age_ms=old) for name, old in ages.items()
    )
    return seen_health(node, leader, epoch, members)


AGES = {"node1": 200, "node2": 300, "node3": 0}


def board(views: dict[str, ClusterHealth], processes: dict[str, str] | None = None) -> Board:
    watch = ClusterWatch(node.name for node in NODES)
    watch.observe(0, views)
    return board_of(NODES, watch, views, processes=processes or {}, redis_process="running")


def drawn(shown: Board, width: int, events: list[tuple[str, Event]] | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(picture(shown, events or [], width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_heartbeat_is_as_old_as_the_freshest_other_node_saw_it() -> None:
    views = {
        "node1": view("node1", "node1", 7, {"node1": 0, "node2": 900, "node3": 400}),
        "node3": view("node3", "node1", 7, {"node1": 250, "node2": 800, "node3": 0}),
    }
    rows = {row.node: row for row in board(views).rows}
    assert [rows[name].heartbeat_age_ms for name in ("node1", "node2", "node3")] == [250, 800, 400]
    assert [rows[name].role for name in ("node1", "node2", "node3")] == ["leader", "", "standby"]
    assert [rows[name].epoch for name in ("node1", "node2", "node3")] == [7, 0, 7]


def test_who_still_believes_to_lead_at_an_old_epoch_is_not_shown_as_leader() -> None:
    views = {"node1": view("node1", "node1", 5, AGES), "node2": view("node2", "node2", 6, AGES)}
    shown = board(views)
    assert shown.leader == "node2"
    assert [row.role for row in shown.rows] == ["", "leader", ""]


def test_a_narrow_screen_cuts_no_cell() -> None:
    views = {name: view(name, "node1", 1_795_478_281_576, AGES) for name in ("node1", "node2")}
    shown = board(views, {"node3": "ended by SIGKILL"})
    for width in (80, 110):
        text = drawn(shown, width, [("2026-11-23T23:00:00.000Z", Event("leader-elected", "node1", 7, "node1 leads."))])
        assert "…" not in text
        assert "1795478281576" in text
        assert "103 ended by SIGKILL" in text
        assert "node1 leads." in text
        assert ("http://127.0.0.1:7101" in text) == (width == 110)


def test_an_age_is_short() -> None:
    assert [age(None), age(0), age(1_250), age(119_000), age(180_000)] == ["-", "0.0 s", "1.2 s", "119.0 s", "3 min"]
