"""What health shows of the name, from what the name server has and from what a node meets."""

from ipaddress import ip_address

import pytest

from rppam.cluster.dns.errors import NoNameServer
from rppam.cluster.dns.model import Mark, Seen
from rppam.cluster.dns.shown import view_of
from rppam.cluster.health.model import NameView

NAME = "pam.example.com"
READ_MS, SINCE_MS = 1_772_366_400_000, 1_772_362_800_000
MARK = Mark("cluster-001", 7, "node1", "0123456789abcdef", SINCE_MS)
SEEN = Seen((MARK.text,), frozenset(map(ip_address, ("fd00::11", "10.0.1.11"))), frozenset((5,)))
READ, SINCE = "2026-03-01T12:00:00Z", "2026-03-01T11:00:00Z"


def test_all_is_told_of_a_name_that_is_right() -> None:
    found = view_of(NAME, SEEN, READ_MS, "", "node1")
    assert found == NameView(NAME, ("10.0.1.11", "fd00::11"), "node1", 7, SINCE, READ, "")


def test_a_mark_of_an_earlier_release_has_no_time() -> None:
    before = view_of(NAME, SEEN._replace(marks=(MARK._replace(since_ms=0).text,)), READ_MS, "", "node1")
    assert (before.node, before.since, before.problem) == ("node1", None, "")


@pytest.mark.parametrize(
    ("seen", "leader", "problem"),
    [
        (None, "node1", "the name server was not read yet"),
        (Seen((), frozenset(), frozenset()), "node1", "it points nowhere: no leader has written it yet"),
        (SEEN._replace(marks=()), "node1", "no leader wrote what it points to"),
        (SEEN._replace(marks=("v=spf1 -all",)), "node1", "no leader wrote what it points to"),
        (SEEN._replace(marks=(MARK.text, "more")), "node1", "no leader wrote what it points to"),
        (SEEN, "node2", "node2 leads; it still points to node1"),
        (SEEN, None, "nobody leads; it still points to node1"),
    ],
)
def test_what_is_wrong_is_said(seen: Seen | None, leader: str | None, problem: str) -> None:
    assert view_of(NAME, seen, READ_MS, "", leader).problem == problem


def test_what_the_node_meets_comes_first_and_what_was_read_last_stays() -> None:
    found = view_of(NAME, SEEN, READ_MS, NoNameServer("10.0.1.53 port 53: no answer"), "node2")
    assert (found.problem, found.node, found.read_at) == ("10.0.1.53 port 53: no answer", "node1", READ)
