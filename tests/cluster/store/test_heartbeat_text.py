"""A heartbeat is read back whole, or not at all: whatever somebody wrote in its place never raises."""

import json

import pytest

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.store.heartbeat_text import LONGEST, heartbeat_from_text, heartbeat_to_text, is_unauthenticated
from rppam.crypto.store_mac import StoreMac
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


def test_the_mark_of_a_password_stands_only_in_the_heartbeat_of_who_has_one() -> None:
    assert heartbeat_from_text(heartbeat_to_text(MARKED).encode(), "node1") == MARKED
    assert "password_mark" not in json.loads(heartbeat_to_text(BEAT)), "an older release would not read it"


def test_an_older_release_does_not_tell_its_settings_revision() -> None:
    fields = json.loads(heartbeat_to_text(BEAT))
    del fields["settings_revision"]
    assert heartbeat_from_text(json.dumps(fields).encode(), "node1") == BEAT


@pytest.mark.parametrize("name", Heartbeat._fields)
def test_a_field_of_another_kind_is_no_heartbeat(name: str) -> None:
    fields = json.loads(heartbeat_to_text(MARKED)) | {"store_ms": 0}
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


def test_without_a_key_the_text_is_that_of_the_release_before() -> None:
    assert not json.loads(heartbeat_to_text(BEAT)).keys() & {"mac", "store_ms"}


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
    said = heartbeat_to_text(ORDERING)[:-1] + ',"store_ms":7'
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
