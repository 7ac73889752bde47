"""Findings that are acknowledged: shown as before, counted nowhere, for a time; and those that may not be."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from rppam.catalogue.table import ROWS, finding
from rppam.cli.view import parse_view
from rppam.cluster.health.model import UNHEALTHY
from rppam.doctor.acknowledged import ACKNOWLEDGED, ENTRIES_MAX, acknowledged, entries_of, why_never
from rppam.kernel.finding import Severity, Verdict, verdict_of
from rppam.kernel.instant import WallMs
from rppam.manager.health_api import cluster_health
from rppam.manager.metrics import metrics_of, metrics_text
from rppam.manager.status_screen import status_picture
from rppam.settings.errors import SettingInvalid
from rppam.settings.registry import find_setting
from scripts.health_states import WELL
from tests.manager.screens import lines_of

TODAY = date(2027, 1, 10)
ENTRY = {"code": "RD-302", "reason": "Debian mends it", "by": "alice", "until": "2027-01-31"}


def entries(*found: Mapping[str, object]) -> Any:
    return ACKNOWLEDGED.read({"findings": list(found)}).findings


def flaws(found: object) -> dict[str, str]:
    with pytest.raises(SettingInvalid) as caught:
        ACKNOWLEDGED.read({"findings": found})
    return {flaw.field: flaw.message for flaw in caught.value.flaws}


def test_the_setting_is_one_of_all_and_says_what_it_was_given() -> None:
    assert find_setting("doctor/acknowledged") is ACKNOWLEDGED
    value = ACKNOWLEDGED.read({"findings": [ENTRY]})
    assert ACKNOWLEDGED.write(value) == {"findings": [{**ENTRY, "node": ""}]}
    assert ACKNOWLEDGED.read(ACKNOWLEDGED.write(value)) == value
    assert ACKNOWLEDGED.write(ACKNOWLEDGED.default) == {"findings": []}


@pytest.mark.parametrize("code", sorted(ROWS))
def test_no_error_and_nothing_that_makes_a_cluster_unhealthy_may_be_acknowledged(code: str) -> None:
    if ROWS[code].severity is Severity.ERROR or code in UNHEALTHY:
        assert why_never(code)
    if not why_never(code):
        assert entries({**ENTRY, "code": code})[0].code == code
        return
    told = flaws([{**ENTRY, "code": code}])["findings.0.code"]
    assert "may not be acknowledged" in told
    assert ROWS[code].advice in told, "the fix is to mend it"


@pytest.mark.parametrize("code", ["RD-703", "RD-705", "RD-629", "RD-620", "RD-613", "RD-606", "RD-308"])
def test_neither_may_what_tells_that_health_is_not_what_it_seems_or_ends_on_a_day(code: str) -> None:
    assert ROWS[code].severity is Severity.WARNING
    assert why_never(code)


@pytest.mark.parametrize(
    ("found", "field", "said"),
    [
        ("RD-302", "findings", "expected a list"),
        ([ENTRY] * (ENTRIES_MAX + 1), "findings", "a list of 51"),
        (["RD-302"], "findings.0", "expected an object"),
        ([{**ENTRY, "code": "RD-3022"}], "findings.0.code", "Did you mean"),
        ([{**ENTRY, "code": 302}], "findings.0.code", "docs/reference/doctor.md"),
        ([{**ENTRY, "until": "31.01.2027"}], "findings.0.until", "such as 2027-01-31"),
        ([{**ENTRY, "until": None}], "findings.0.until", "such as 2027-01-31"),
        ([{**ENTRY, "reason": " "}], "findings.0.reason", "Write why"),
        ([{**ENTRY, "by": 7}], "findings.0.by", "Write who"),
        ([{**ENTRY, "node": "no such name"}], "findings.0.node", "node.nodeName"),
        ([{**ENTRY, "untill": "2027-01-31"}], "findings.0.untill", "Did you mean 'until'"),
        ([ENTRY, ENTRY], "findings.1", "twice"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(found: object, field: str, said: str) -> None:
    assert said in flaws(found)[field]


def test_what_is_left_out_is_missed_by_name() -> None:
    assert set(flaws([{"code": "RD-302"}])) == {"findings.0.reason", "findings.0.by", "findings.0.until"}


def test_an_acknowledged_warning_stays_and_counts_no_more() -> None:
    found = acknowledged([finding("RD-302", "redis 7.0.15")], entries(ENTRY), "node1", TODAY)
    assert [(one.code, one.severity, one.counts) for one in found] == [("RD-302", Severity.WARNING, False)]
    assert found[0].as_json()["acknowledged"] == {"by": "alice", "reason": "Debian mends it", "until": "2027-01-31"}
    assert verdict_of(found) is Verdict.OK
    assert verdict_of([*found, finding("RD-305", "200 MB")]) is Verdict.WARNINGS


def test_a_graver_form_of_the_same_finding_counts_all_the_same() -> None:
    found = acknowledged(
        [finding("RD-409", "a failover hangs", severity=Severity.ERROR)],
        entries({**ENTRY, "code": "RD-409"}),
        "n",
        TODAY,
    )
    assert found[0].acknowledged is None
    assert verdict_of(found) is Verdict.ERRORS


def test_it_holds_through_its_last_day_and_then_says_that_it_is_over() -> None:
    (one,) = acknowledged([finding("RD-302", "seen")], entries(ENTRY), "node1", date(2027, 1, 31))
    assert not one.counts
    (one,) = acknowledged([finding("RD-302", "seen")], entries(ENTRY), "node1", date(2027, 2, 1))
    assert one.counts
    assert "was acknowledged by alice until 2027-01-31, which is over: Debian mends it" in one.evidence


def test_one_for_a_node_holds_there_alone_and_goes_before_that_for_all() -> None:
    here = {**ENTRY, "node": "node1", "by": "bob"}
    (one,) = acknowledged([finding("RD-302", "seen")], entries(here), "node2", TODAY)
    assert one.counts
    (one,) = acknowledged([finding("RD-302", "seen")], entries(ENTRY, here), "node1", TODAY)
    assert one.acknowledged is not None
    assert one.acknowledged.by == "bob"


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"findings": [{"code": "RD-101"}]}', '{"findings": 7}'])
def test_a_list_that_cannot_be_read_hushes_nothing(text: str | None) -> None:
    assert entries_of(text) == ()


def test_health_status_and_metrics_show_it_and_do_not_count_it() -> None:
    found = acknowledged([finding("RD-302", "seen"), finding("RD-305", "200 MB")], entries(ENTRY), "pam-1", TODAY)
    seen = replace(WELL, findings=found)
    text = metrics_text(metrics_of(seen, 7, WallMs(0))).decode()
    assert 'rppam_findings{severity="warning"} 1' in text
    assert 'rppam_findings_acknowledged{severity="warning"} 1' in text
    view = cluster_health(seen, None, "")
    told = json.loads(json.dumps({"clusterHealthy": True, "findings": [one.as_json() for one in view.findings]}))
    read = parse_view(told)
    assert read is not None
    assert [one.acknowledged for one in read.findings] == [one.acknowledged for one in found]
    screen = lines_of(status_picture(view, "https://pam-1:7101"))
    at = {code: next(n for n, line in enumerate(screen) if line.startswith(code)) for code in ("RD-302", "RD-305")}
    assert at["RD-305"] < at["RD-302"], "what counts goes first"
    assert "acknowledged by alice until 2027-01-31: Debian mends it" in screen[at["RD-302"]]
