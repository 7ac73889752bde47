"""One sentence for many, in health for a minute, in the log once."""

import logging

import pytest

from rppam.cluster.health.heartbeat_doubts import HeartbeatDoubts
from rppam.kernel.instant import US_PER_S, Instant
from tests.cluster.consensus.beats import heartbeat


def at(seconds: float) -> Instant:
    return Instant(int(seconds * US_PER_S))


def test_thousands_of_names_are_one_sentence_that_passes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    doubts = HeartbeatDoubts("node1")
    for second in range(30):
        doubts.look((), tuple(f"g{second}x{number}" for number in range(200)), None, at(second))
    [sentence] = doubts.warnings(at(30))
    assert "lists 200 names that show no life" in sentence
    assert "ACL LIST" in sentence
    assert len(sentence) < 400
    assert len(caplog.records) == 1, "other names, and the same thing"
    assert doubts.warnings(at(100)) == ()


def test_each_kind_has_its_sentence_and_fix() -> None:
    doubts = HeartbeatDoubts("node1")
    doubts.look(("node2", "node1"), (), heartbeat("node1", 5), at(0))
    forged, namesake = doubts.warnings(at(1))
    assert "under node1, node2" in forged
    assert "auth.clusterKeyPath" in forged
    assert "'node1'" in namesake
    assert "node1.local" in namesake
    assert "node.nodeName" in namesake


def test_orders_that_no_node_signed_and_crowds_have_their_sentence_and_fix_too() -> None:
    doubts = HeartbeatDoubts("node1")
    doubts.look((), (), None, at(0), ("node2",), tuple(f"g{number}" for number in range(250)))
    unsealed, crowd = doubts.warnings(at(1))
    assert "under node2 say of maintenance" in unsealed
    assert "auth.sealingKeyPath" in unsealed
    assert "under 250 names" in crowd
    assert "(DEL)" in crowd
    assert len(crowd) < 400
