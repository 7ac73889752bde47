"""A heartbeat is read back whole, or not at all: whatever somebody wrote in its place never raises."""

import json

import pytest
from hypothesis import given, strategies as st

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.store.heartbeat_text import (
    LONGEST,
    foreign_format,
    heartbeat_from_text,
    heartbeat_to_text,
    is_unauthenticated,
)
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.protocol import HEARTBEAT
from rppam.kernel.secret import Secret

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


def test_the_release_before_tells_no_format_and_not_all_that_is_told_now() -> None:
    fields = json.loads(heartbeat_to_text(BEAT))
    for name in ("format", "settings_revision", "password_mark", "store_ms"):
        del fields[name]
    assert heartbeat_from_text(json.dumps(fields).encode(), "node1") == BEAT
    del fields["seats"]
    assert heartbeat_from_text(json.dumps(fields).encode(), "node1") is None


def test_fields_of_a_later_release_are_passed_over_and_its_format_is_not() -> None:
    fields = json.loads(heartbeat_to_text(MARKED))
    later = json.dumps({"disk": {"full": [1]}, **fields, "more": "ü"}, ensure_ascii=False).encode()
    assert heartbeat_from_text(later, "node1") == MARKED
    assert foreign_format(later, None) is None
    signed = f'{later[:-1].decode()},"mac":"{MAC.tag("heartbeat", later)}"}}'.encode()
    assert heartbeat_from_text(signed, "node1", MAC) == MARKED
    assert heartbeat_from_text(signed.replace("ü".encode(), b"u"), "node1", MAC) is None, "they are signed, too"
    assert heartbeat_from_text(signed.replace(b'"full":', b'"fill":'), "node1", MAC) is None
    newer = json.dumps(fields | {"format": HEARTBEAT.version + 1}).encode()
    assert heartbeat_from_text(newer, "node1") is None
    assert foreign_format(newer, None) == HEARTBEAT.version + 1
    assert foreign_format(newer, MAC) is None, "whoever wrote it has no key"
    assert HEARTBEAT.refusal("node1 writes heartbeats of", 9) == (
        "node1 writes heartbeats of format 9; this release understands 1 to 2: update rppam on this node"
    )


@given(st.binary() | st.recursive(st.none() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_any_bytes_are_none_and_never_an_error(data: bytes) -> None:
    for mac in (None, MAC):
        assert heartbeat_from_text(data, "node1", mac, mac) is None
        assert foreign_format(data, mac) is None


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()


@given(st.sampled_from([*Heartbeat._fields, "format", "other"]), values | st.lists(values, max_size=3))
def test_whatever_stands_in_a_field_it_is_none_or_a_heartbeat_that_is_written_back(name: str, value: object) -> None:
    fields = json.loads(heartbeat_to_text(MARKED)) | {name: value}
    found = heartbeat_from_text(json.dumps(fields).encode(), "node1")
    assert found is None or heartbeat_from_text(heartbeat_to_text(found).encode(), "node1") == found


@pytest.mark.parametrize("name", Heartbeat._fields)
def test_a_field_of_another_kind_is_no_heartbeat(name: str) -> None:
    fields = json.loads(heartbeat_to_text(MARKED)) | {"store_ms": 0}
    for odd in ODD:
        if type(odd) is type(fields[name]) and odd not in (-1, 2**53, "\n", "0" * 17):
            continue
        if name == "settings_revision" and odd is None:
            continue
        if name in {"database", "address"} and isinstance(odd, bool):
            continue
        text = json.dumps({**fields, name: odd}).encode()
        found = heartbeat_from_text(text, "node1")
        assert found is None or (isinstance(odd, str) and odd.isprintable()), (name, odd)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 5_000, b'{"node":"node1"}', b" " * (LONGEST + 1)]
)
def test_another_text_is_none(text: bytes) -> None:
    assert heartbeat_from_text(text, "node1") is None


def test_a_heartbeat_of_somebody_else_is_none() -> None:
    assert heartbeat_from_text(heartbeat_to_text(BEAT).encode(), "node2") is None


def test_a_name_that_no_order_can_bear_is_no_heartbeat() -> None:
    fields = json.loads(heartbeat_to_text(BEAT))
    assert heartbeat_from_text(json.dumps({**fields, "paused_by": "x" * 64}).encode(), "node1") is not None
    assert heartbeat_from_text(json.dumps({**fields, "paused_by": "x" * 65}).encode(), "node1") is None


MAC = StoreMac("lab", Secret("1" * 64))
OTHER = StoreMac("lab", Secret("2" * 64))


def test_where_there_is_a_key_only_what_its_holders_wrote_is_a_heartbeat() -> None:
    told = BEAT._replace(store_ms=1_795_000_000_000)
    text = heartbeat_to_text(told, MAC).encode()
    assert heartbeat_from_text(text, "node1", MAC) == told
    assert not is_unauthenticated(text, MAC)
    assert json.loads(text)["mac"], "it stays one JSON object"
    forged = (
        heartbeat_to_text(told).encode(),
        heartbeat_to_text(told, OTHER).encode(),
        text.replace(b'"beat":5', b'"beat":6'),
        text.replace(b'"leaving":false', b'"leaving":true'),
        text.replace(b"{", b'{"beat":9,', 1),
        text[:-1] + b',"more":1}',
        text + b" ",
        text.replace(b'"mac":"', b'"mac":"\xff'),
        b'{"\xff":1' + text[-43:],
    )
    for odd in forged:
        assert heartbeat_from_text(odd, "node1", MAC) is None, odd
        assert is_unauthenticated(odd, MAC), odd
    assert not is_unauthenticated(b"", MAC), "nothing there is nobody's"


def test_one_node_s_heartbeat_is_no_other_s() -> None:
    assert heartbeat_from_text(heartbeat_to_text(BEAT, MAC).encode(), "node2", MAC) is None


def test_a_node_without_the_key_reads_what_the_others_write() -> None:
    text = heartbeat_to_text(BEAT, MAC).encode()
    assert heartbeat_from_text(text, "node1") == BEAT
    assert not is_unauthenticated(text, None)


def test_while_the_key_is_changed_holders_of_the_next_one_are_believed() -> None:
    text = heartbeat_to_text(BEAT, OTHER).encode()
    changing = StoreMac("lab", Secret("1" * 64), [Secret("2" * 64)])
    assert heartbeat_from_text(text, "node1", changing) == BEAT
    changing.use(Secret("3" * 64))
    assert heartbeat_from_text(text, "node1", changing) is None


SEALING = StoreMac("lab", Secret("5" * 64))
ORDERING = BEAT._replace(maintenance=True, pause_stamp=1_795_000_000_000, paused=True, paused_by="anna", store_ms=7)
SAYS_NOTHING = ORDERING._replace(maintenance=None, pause_stamp=0, paused=False, paused_by="")


def test_what_a_node_orders_is_heeded_by_nodes_and_read_by_who_has_no_sealing_key() -> None:
    text = heartbeat_to_text(ORDERING, MAC, SEALING).encode()
    assert heartbeat_from_text(text, "node1", MAC, SEALING) == ORDERING
    assert heartbeat_from_text(text, "node1", MAC) == ORDERING, "a witness, and the doctor"
    assert heartbeat_from_text(text, "node1") == ORDERING


def test_a_holder_of_the_cluster_key_alone_orders_nothing_and_shows_its_life_all_the_same() -> None:
    true = heartbeat_to_text(BEAT._replace(store_ms=7), MAC, SEALING)
    tag = json.loads(true)["orders_mac"]
    said = heartbeat_to_text(ORDERING)[:-1]
    forged = [heartbeat_to_text(ORDERING, MAC), heartbeat_to_text(ORDERING, MAC, MAC)]
    for copied in (tag, MAC.tag("heartbeat", said + "}")):
        body = f'{said},"orders_mac":"{copied}"}}'
        forged += [f'{body[:-1]},"mac":"{MAC.tag("heartbeat", body)}"}}']
    for text in forged:
        assert not is_unauthenticated(text.encode(), MAC)
        assert heartbeat_from_text(text.encode(), "node1", MAC, SEALING) == SAYS_NOTHING, text


def test_while_the_sealing_key_is_changed_the_orders_of_both_are_heeded() -> None:
    text = heartbeat_to_text(ORDERING, MAC, SEALING).encode()
    changing = StoreMac("lab", Secret("6" * 64), [Secret("5" * 64)])
    assert heartbeat_from_text(text, "node1", MAC, changing) == ORDERING
    changing.use(Secret("6" * 64))
    assert heartbeat_from_text(text, "node1", MAC, changing) == SAYS_NOTHING
