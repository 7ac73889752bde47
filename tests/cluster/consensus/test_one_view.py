"""Outside of the deciding machines nobody writes their state, or asks an election anything but what it offers."""

import ast
import re
from pathlib import Path

import pytest

from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.consensus.status import Status

ROOT = Path(__file__).parents[3]
CONSENSUS = ROOT / "src" / "rppam" / "cluster" / "consensus"
OUTSIDE = sorted(
    path
    for folder in ("src/rppam", "src/rppam_sim", "benchmarks", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if CONSENSUS not in path.parents and path.parent.name != "holder"  # a program of its own, with another core
)
HOLDS_AN_ELECTION = {"election"}
HOLDS_A_CORE = {"core", "_core"}
MAY_REACH_IN = re.compile(rf"\b(?:{'|'.join(HOLDS_AN_ELECTION | HOLDS_A_CORE)})[\s)]*\.")
"""How a module looks that has one in its hands; the others need not be parsed."""
OF_ELECTION = {name for name in vars(Election) if not name.startswith("_")}
OF_CORE = {
    *(name for name in vars(NodeCore) if not name.startswith("_")),
    *("detector", "admission", "roster", "orders", "in_maintenance", "read_at"),
}


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def wrong(path: Path, tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = name_of(node.value)
        offered = OF_ELECTION if owner in HOLDS_AN_ELECTION else OF_CORE if owner in HOLDS_A_CORE else None
        if offered is None:
            continue
        place = f"{path.name}:{node.lineno}: {owner}.{node.attr}"
        if node.attr not in offered:
            found.append(f"{place} is none of {sorted(offered)}")
        elif not isinstance(node.ctx, ast.Load):
            found.append(f"{place} is written from outside")
    return found


def test_an_election_offers_a_step_a_deadline_a_status_and_two_words_to_be_written() -> None:
    assert {"step", "deadline", "status", "mark", "released"} == OF_ELECTION


def test_nobody_reaches_into_an_election() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in OUTSIDE}
    suspects = {path: text for path, text in texts.items() if MAY_REACH_IN.search(text)}
    assert suspects, "the driver has a core"
    assert [line for path, text in suspects.items() for line in wrong(path, ast.parse(text))] == []


@pytest.mark.parametrize("line", ["election.phase", "self._core.election", "core.orders = 1", "election.status = None"])
def test_who_does_is_found(line: str) -> None:
    assert MAY_REACH_IN.search(line)
    assert wrong(Path("x.py"), ast.parse(line))


def test_a_status_is_frozen() -> None:
    assert issubclass(Status, tuple)
    with pytest.raises(AttributeError):
        Status._make([None] * len(Status._fields)).epoch = 1  # type: ignore[misc]


# ---- sizes ----------------------------------------------------------------------------------------------------------

STORY = ("election", "candidate", "holder", "lease", "vote", "membership")
METHODS_MAX, ATTRIBUTES_MAX = 25, 15


def members_of(node: ast.ClassDef) -> tuple[int, int]:
    """How many methods a class has, and how many attributes of an object."""
    methods = [child for child in node.body if isinstance(child, ast.FunctionDef)]
    fields = {
        child.target.id
        for child in node.body
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name)
    }
    for child in ast.walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store) and name_of(child.value) == "self":
            fields.add(child.attr)
    return len(methods), len(fields)


def test_the_whole_story_is_short_enough_to_be_read() -> None:
    lines = {name: (CONSENSUS / f"{name}.py").read_text(encoding="utf-8").count("\n") for name in STORY}
    assert lines["election"] <= 250
    assert sum(lines.values()) <= 1_800, lines


def test_no_class_of_it_knows_too_much() -> None:
    sizes = {
        f"{path.name}: {node.name}": members_of(node)
        for path in sorted(CONSENSUS.glob("*.py"))
        if path.name != "heartbeat.py"  # what travels, field by field
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    large = {name: size for name, size in sizes.items() if size[0] > METHODS_MAX or size[1] > ATTRIBUTES_MAX}
    assert large == {}
