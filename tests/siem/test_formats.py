"""Events in each format, with every character that a format gives a meaning to."""

import json
import re

import pytest

from rppam.siem.errors import TargetInvalid
from rppam.siem.formats import written
from rppam.siem.model import Format, Options, TargetKind, check_target, endpoint_of

EVENT = {
    "id": "0190-1",
    "index": 7,
    "time": 1_772_366_400_123,
    "action": "login.fail",
    "actor": {"kind": "anonymous", "id": "", "name": "", "session": "", "address": "10.0.0.7"},
    "object": {"kind": "user", "id": "id-eve", "name": "eve|=\\\n\tx"},
    "outcome": "failure",
    "reason": "wrong password",
    "node": "node1",
    "epoch": None,
    "request": "r1",
    "details": {"n": 1},
}


def test_json_is_the_event_with_its_time_in_iso() -> None:
    read = json.loads(written(EVENT, Format.JSON))
    assert read == {**EVENT, "time": "2026-03-01T12:00:00.123Z"}
    assert "\n" not in written(EVENT, Format.JSON)


def test_cef_has_seven_fields_in_its_head_and_escapes_in_its_extension() -> None:
    line = written(EVENT, Format.CEF)
    head = re.split(r"(?<!\\)\|", line, maxsplit=7)
    assert head[:3] == ["CEF:0", "Ravenphyre", "RP-PAM"]
    assert (head[4], head[6]) == ("login.fail", "6")
    assert "\n" not in line
    assert r"duser=eve|\=\\\n" in head[7]
    assert "src=10.0.0.7" in head[7]
    assert "cn1=7" in head[7]
    assert "suser=" not in head[7], "what is empty is left out"
    assert "cs2Label" not in head[7]


def test_leef_has_tabs_between_its_facts_and_none_in_them() -> None:
    line = written(EVENT, Format.LEEF)
    head, _, facts = line.rpartition("|x09|")
    assert head.startswith("LEEF:2.0|Ravenphyre|RP-PAM|")
    pairs = dict(one.split("=", 1) for one in facts.split("\t"))
    assert pairs["accountName"] == "eve|=\\  x"
    assert pairs["devName"] == "node1"
    assert "\n" not in line


@pytest.mark.parametrize(
    ("kind", "format_", "url", "options", "has_secret", "field"),
    [
        (TargetKind.SYSLOG, Format.CEF, "udp://h:514", Options(), False, "url"),
        (TargetKind.SYSLOG, Format.CEF, "tls://h:99999", Options(), False, "url"),
        (TargetKind.WEBHOOK, Format.JSON, "https://u:p@h/x", Options(), True, "url"),
        (TargetKind.WEBHOOK, Format.JSON, "https://h/x", Options(), False, "secret"),
        (TargetKind.WEBHOOK, Format.CEF, "https://h/x", Options(), True, "format"),
        (TargetKind.SENTINEL, Format.JSON, "https://h", Options(), True, "tokenUrl"),
    ],
)
def test_a_target_that_cannot_work_is_refused_by_its_field(
    kind: TargetKind, format_: Format, url: str, options: Options, has_secret: bool, field: str
) -> None:
    with pytest.raises(TargetInvalid, match=field):
        check_target(kind, format_, url, options, has_secret=has_secret)


def test_syslog_has_its_ports() -> None:
    assert endpoint_of("tls://logs.example") == ("logs.example", 6514, True)
    assert endpoint_of("tcp://logs.example:1514") == ("logs.example", 1514, False)
    check_target(TargetKind.SYSLOG, Format.LEEF, "tls://logs.example", Options(), has_secret=False)
