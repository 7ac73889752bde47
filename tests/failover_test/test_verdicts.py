"""What a failover test says of each promise, and how the report shows it."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from rppam.failover_test.api import ranges_of
from rppam.failover_test.model import Method
from rppam.failover_test.observed import Failure, Observed, judge
from rppam.failover_test.page import page_of, report_in
from rppam.failover_test.report import NoReportError, digest_of, made

GOOD = Observed(
    Method.KILL,
    "node1",
    ("node1", "node2"),
    sessions=3,
    promoted="node2",
    promoted_ms=3_900,
    requests=40,
    acknowledged=12,
    checked=6,
    back_ms=14_000,
)
BROKEN: dict[int, dict[str, Any]] = {
    1: {"promoted": "", "promoted_ms": None},
    2: {"promoted_ms": 15_001},
    3: {"missing": {"node2": [4, 5, 6, 7, 8, 9]}},
    4: {"lost": [("node2", "The session of this access token is over (RPPAM-6005)")]},
    5: {"back_ms": None, "back_why": "it says that its role is leader"},
}
WHY = {
    1: "no standby was promoted while the test watched; node1 was the leader before",
    2: "node2 was the leader 15001 ms after the fault, later than the 15000 ms that are promised",
    3: "of 12 acknowledged writes some are gone: node2 lacks 6 (4, 5, 6, 7, 8, ...)",
    4: "sessions opened before the fault were refused afterwards: node2 answered The session of this access token is "
    "over (RPPAM-6005)",
    5: "node1 did not come back as a standby: it says that its role is leader",
}


def report(seen: Observed, **facts: Any) -> dict[str, Any]:
    timeline = [
        {"at_ms": 0, "kind": "fault", "text": "killed"},
        {"at_ms": 3_900, "kind": "good", "text": "node2 leads"},
    ]
    return made(seen, judge(seen), {"cluster": "prod", "test": "t", "urls": ["http://a"], **facts}, timeline)


def test_all_are_kept_where_all_was_seen() -> None:
    assert [one.held for one in judge(GOOD)] == [True] * 5
    assert judge(replace(GOOD, promoted_ms=15_000))[1].held, "the limit itself is within"


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_named_with_what_shows_it(promise: int) -> None:
    verdicts = judge(replace(GOOD, **BROKEN[promise]))
    broken = {one.promise: one.why for one in verdicts if not one.held}
    assert broken.pop(promise) == WHY[promise]
    assert set(broken) <= ({2} if promise == 1 else set()), "no other one is broken by that"


@pytest.mark.parametrize(
    ("promise", "changes", "why"),
    [
        (3, {"acknowledged": 0}, "no write was acknowledged, so nothing shows that none is lost"),
        (
            3,
            {"unread": {"node1": "connection refused"}},
            "could not be read again everywhere: node1: connection refused",
        ),
        (4, {"checked": 0}, "no session could be shown to any node afterwards"),
        (5, {"back_ms": None}, "it was not seen again"),
    ],
)
def test_what_could_not_be_shown_was_not_kept(promise: int, changes: dict[str, Any], why: str) -> None:
    verdict = judge(replace(GOOD, **changes))[promise - 1]
    assert not verdict.held
    assert why in verdict.why


def test_a_failover_of_redis_speaks_of_primary_and_replica() -> None:
    verdicts = judge(replace(GOOD, method=Method.REDIS_FAILOVER, leader="10.0.0.1:6379", promoted="10.0.0.2:6379"))
    assert verdicts[0].why == "10.0.0.2:6379 followed 10.0.0.1:6379"
    assert verdicts[4].why == "10.0.0.1:6379 was back as a replica 14000 ms after the fault"


def test_the_outage_counts_from_the_fault() -> None:
    failures = [Failure(at, "read", "http://a", "refused") for at in (-900, 100, 2_600)]
    assert replace(GOOD, failures=failures).outage_ms == 2_500
    assert GOOD.outage_ms == 0


def test_the_page_needs_no_other_host_and_runs_nothing_of_what_it_was_told() -> None:
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    seen = replace(GOOD, failures=[Failure(5, "read", hostile, hostile)], lost=[(hostile, hostile)])
    text = page_of(report(seen, cluster=hostile, by=hostile))
    assert "<img" not in text
    assert re.findall(r"<script[^>]*>", text) == ['<script type="application/json" id="report">']
    assert re.findall(r"<[a-z]+[^>]*(?:src|href)=", text.partition("<script")[0]) == []
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text
    assert "<svg" in text
    assert "✗ broken" in text
    assert report_in(text) == report(seen, cluster=hostile, by=hostile)


def test_the_digest_is_of_what_it_says_and_not_of_how_it_is_written() -> None:
    one = report(GOOD)
    assert digest_of(one) == digest_of(json.loads(json.dumps(dict(reversed(one.items())), indent=4)))
    assert digest_of(one) != digest_of({**one, "promotedAfterMs": 1})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither JSON nor HTML"),
        ("[1]", "found another JSON value"),
        ("<html></html>", "found another HTML page"),
        (json.dumps({**report(GOOD), "format": 9}), "expected a report of format 1, found 9"),
        (json.dumps({**report(GOOD), "verdicts": [{}]}), "expected verdicts with 'held' and 'why'"),
    ],
)
def test_what_is_no_report_is_refused(text: str, why: str) -> None:
    with pytest.raises(NoReportError, match=why):
        report_in(text)


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [([], []), ([1], [[1, 1]]), ([1, 2, 3], [[1, 3]]), ([1, 2, 4, 7, 8], [[1, 2], [4, 4], [7, 8]])],
)
def test_numbers_travel_as_runs(numbers: list[int], ranges: list[list[int]]) -> None:
    assert ranges_of(numbers) == ranges
