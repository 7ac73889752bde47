"""A heartbeat is read back whole, or not at all: whatever somebody wrote in its place never raises."""

import json

import pytest

from rppam.adapters.redis.heartbeat_text import LONGEST, heartbeat_from_text, heartbeat_to_text
from rppam.domain.member import Heartbeat, Role

BEAT = Heartbeat(
    "node1",
    "0" * 16,
    5,
    Role.STANDBY,
    1_795,
    "1.0",
    "host",
    "",
    1_795_000_000_000,
    1,
    200,
    admitted=True,
    member_address="10.0.0.1:5201",
)
MARKED = BEAT._replace(password_mark="0a1b2c3d")
ODD: tuple[object, ...] = (None, True, -1, 2**53, 1.5, "\n", [], {}, [[]], "0" * 17)


def test_what_was_written_is_read_back() -> None:
    assert heartbeat_from_text(heartbeat_to_text(BEAT).encode(), "node1") == BEAT


def test_the_mark_of_a_password_stands_only_in_the_heartbeat_of_who_has_one() -> None:
    assert heartbeat_from_text(heartbeat_to_text(MARKED).encode(), "node1") == MARKED
    assert "password_mark" not in json.loads(heartbeat_to_text(BEAT)), "an older release would not read it"


def test_an_older_release_does_not_tell_its_settings_revision() -> None:
    fields = json.loads(heartbeat_to_text(BEAT))
    del fields["settings_revision"]
    assert heartbeat_from_text(json.dumps(fields).encode(), "node1") == BEAT


@pytest.mark.parametrize("name", Heartbeat._fields)
def test_a_field_of_another_kind_is_no_heartbeat(name: str) -> None:
    fields = json.loads(heartbeat_to_text(MARKED))
    for odd in ODD:
        if type(odd) is type(fields[name]) and odd not in (-1, 2**53, "\n", "0" * 17):
            continue
        if name == "settings_revision" and odd is None:
            continue
        text = json.dumps({**fields, name: odd}).encode()
        found = heartbeat_from_text(text, "node1")
        assert found is None or (isinstance(odd, str) and odd.isprintable()), (name, odd)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 5_000, b'{"node":"node1"}', b" " * (LONGEST + 1)]
)
def test_another_text_is_none(text: bytes) -> None:
    assert heartbeat_from_text(text, "node1") is None


def test_a_heartbeat_of_somebody_else_or_with_more_than_its_fields_is_none() -> None:
    text = heartbeat_to_text(BEAT).encode()
    assert heartbeat_from_text(text, "node2") is None
    assert heartbeat_from_text(text[:-1] + b',"more":1}', "node1") is None


def test_a_name_that_no_order_can_bear_is_no_heartbeat() -> None:
    fields = json.loads(heartbeat_to_text(BEAT))
    assert heartbeat_from_text(json.dumps({**fields, "paused_by": "x" * 64}).encode(), "node1") is not None
    assert heartbeat_from_text(json.dumps({**fields, "paused_by": "x" * 65}).encode(), "node1") is None
