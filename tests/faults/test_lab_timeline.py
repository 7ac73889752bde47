"""The timeline shows what happened, where it happened, and nothing that did not."""

from xml.etree import ElementTree

import pytest

from tests.faults.lab.history import Span
from tests.faults.lab.observers import View
from tests.faults.lab.timeline import LEFT, Mark, Timeline

pytestmark = pytest.mark.integration

SECOND = 1_000_000_000
SVG = "{http://www.w3.org/2000/svg}"


def made(*verdict: str) -> Timeline:
    return Timeline(
        "a story of <two> & more",
        ["node1", "node2", "redis"],
        [Span("node1", 1_700_000_000_001, 0, 4 * SECOND), Span("node2", 1_700_000_000_777, 6 * SECOND, 9 * SECOND)],
        [
            Mark("node1", "isolated", 4 * SECOND, 8 * SECOND),
            Mark("node1", "paused", 4 * SECOND, 5 * SECOND),
            Mark("redis", "FLUSHALL", 7 * SECOND, 7 * SECOND),
            Mark("", "all healed", 9 * SECOND, 9 * SECOND),
        ],
        [View(at * SECOND, "node1", "node1", 1, at < 5, True) for at in (1, 2, 3, 4, 5, 6, 9)],
        list(verdict),
        0,
        10 * SECOND,
    )


def test_the_text_tells_every_event_in_order() -> None:
    lines = made().text().splitlines()
    events = [line.split(maxsplit=2)[2].split(maxsplit=1) for line in lines if " s  " in line]
    assert events == [
        ["node1", "leads at epoch 1700000000001 for 4.00 s"],
        ["node1", "isolated"],
        ["node1", "paused"],
        ["node1", "end of: paused"],
        ["node1", "says that it has lost Redis"],
        ["node2", "leads at epoch 1700000000777 for 3.00 s"],
        ["redis", "FLUSHALL"],
        ["node1", "end of: isolated"],
        ["all", "all healed"],
    ]
    assert lines[-1] == "No violation."


def test_a_violation_stands_in_text_and_picture() -> None:
    story = made("two led at once")
    assert "VIOLATION: two led at once" in story.text()
    assert "✗ two led at once" in story.svg()
    assert "no violation" not in story.svg()


def test_the_picture_is_well_formed_and_draws_each_thing_where_it_was() -> None:
    root = ElementTree.fromstring(made().svg())
    drawn = {}
    for group in root.iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        title = group.find(f"{SVG}title")
        assert box is not None
        assert title is not None
        drawn[title.text] = {name: float(box.get(name) or 0) for name in ("x", "y", "width")}
    first = drawn["node1 leads at epoch 1700000000001 for 4.000 s"]
    second = drawn["node2 leads at epoch 1700000000777 for 3.000 s"]
    assert first["x"] == LEFT
    assert first["x"] + first["width"] < second["x"], "they did not lead at one time"
    assert first["y"] < second["y"], "each on its lane"
    isolated, paused = drawn["isolated: 4.000 s"], drawn["paused: 1.000 s"]
    assert isolated["x"] == paused["x"] == first["x"] + first["width"]
    assert isolated["y"] != paused["y"], "two marks of one time do not cover each other"
    assert isolated["width"] == 4 * paused["width"]
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a story of <two> & more", "node1", "node2", "redis", "10 s", "✓ no violation"} <= set(words)
