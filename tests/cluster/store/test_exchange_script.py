"""The exchange script on real servers: the same as its oracle, exact, and harmless to what is not ours."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from rppam.cluster.consensus.exchange import Exchanged, exchange as oracle
from rppam.cluster.consensus.record import EPOCH_MAX, Record, RecordState, parse_record, vacant
from rppam.cluster.consensus.timing import HEARTBEAT_TTL_MS
from rppam.cluster.store.redis_store import EXCHANGE, RECORD_TTL_MS
from rppam.setup.redis_acl import NODE_COMMANDS
from tests.support.examples import examples
from tests.support.raw_redis import Raw, exchange
from tests.support.redis_servers import Server, ServerKind

pytestmark = [pytest.mark.integration, pytest.mark.server]

KEY = "rppam:leader"
HARDENED = (
    *("--rename-command", "FLUSHALL", "", "--rename-command", "FLUSHDB", "", "--rename-command", "DEBUG", ""),
    *("--rename-command", "CONFIG", "RPPAM_CONFIG_b7d3a1", "--rename-command", "KEYS", ""),
)
"""What the article has administrators do, and KEYS as well."""

# ---- records, and what only looks like one ---------------------------------------------------------------------------

NODES = st.sampled_from(["node1", "node2", "-", "a" * 63, "0", "x-9"])
COUNTS = st.sampled_from([0, 1, 2, 10, 999, EPOCH_MAX])
RECORDS = st.builds(
    Record,
    st.sampled_from(RecordState),
    NODES,
    st.sampled_from(["0" * 16, "a" * 16, "0123456789abcdef"]),
    COUNTS,
    COUNTS,
    st.sampled_from(["f" * 8, "0123456789abcdef", "e" * 32]),
).map(Record.encode)
WORDS = (
    "rppam1",
    "rppam2",
    "held",
    "released",
    "vacant",
    "Held",
    "heldd",
    "idle",
    "node1",
    "Node1",
    "a_b",
    "-",
    "Ä",
    "",
)
NUMBERS = ("0", "00", "1", "01", "+1", "-1", "1.0", "1e3", "9" * 15, "9" * 16)
LENGTHS = ("a" * 15, "a" * 16, "a" * 17, "A" * 16, "f" * 7, "f" * 8, "f" * 32, "f" * 33, "g" * 8, "a" * 63, "a" * 64)
ENDS = ("\n", "\0", "node1\n", "rppam1\n", " ", "\xff")
FIELD_VALUES = (*WORDS, *NUMBERS, *LENGTHS, *ENDS)
FIELDS = st.sampled_from(FIELD_VALUES)
NEAR = st.one_of(
    st.tuples(RECORDS, st.integers(0, 6), FIELDS).map(
        lambda t: " ".join([*t[0].split(" ")[: t[1]], t[2], *t[0].split(" ")[t[1] + 1 :]])
    ),
    st.tuples(RECORDS, st.integers(0, 80), st.sampled_from(["", " ", "\n", "\0", "0", "x", "\xff"])).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] + 1 :]
    ),
    st.tuples(RECORDS, st.sampled_from(["\n", " ", "\0", "\r\n", "0"])).map("".join),
)
ODD = st.one_of(
    NEAR,
    st.binary(max_size=80).map(lambda b: b.decode("latin-1")),
    st.sampled_from(["", " ", "x" * 100_000, "rppam1 held node1 " + "a" * 70_000]),
)
TYPES: dict[str, tuple[str, ...]] = {
    "list": ("RPUSH", "v"),
    "set": ("SADD", "v"),
    "hash": ("HSET", "f", "v"),
    "zset": ("ZADD", "1", "v"),
    "stream": ("XADD", "*", "f", "v"),
}
STEPS = st.one_of(
    st.tuples(st.just("swap"), st.one_of(st.just("what stands"), RECORDS, ODD), RECORDS),
    st.tuples(st.just("read"), st.none(), st.none()),
    st.tuples(st.just("put"), st.one_of(RECORDS, ODD), st.none()),
    st.tuples(st.just("type"), st.sampled_from(sorted(TYPES)), st.none()),
    st.tuples(st.just("delete"), st.none(), st.none()),
)
MARKS = st.builds(lambda epoch, nonce: vacant(epoch, f"{nonce:016x}").encode(), COUNTS, st.integers(0, 2**64 - 1))


def wire(text: str) -> bytes:
    return text.encode("latin-1")


def make(raw: Raw, key: str, kind: str) -> None:
    """Something of another type at ``key``."""
    verb, *rest = TYPES[kind]
    raw(verb, key, *rest)


def aside(raw: Raw, key: str) -> list[bytes]:
    found: list[bytes] = raw("KEYS", f"{key}:moved-aside*")
    return sorted(found)


class Twin:
    """The server and the oracle, taken through the same steps."""

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.stands: str | None = None
        raw("DEL", KEY)

    def step(self, verb: str, first: Any, second: Any, mark: str) -> None:
        if verb == "put":
            self.raw("SET", KEY, wire(first))
            self.stands = first
        elif verb == "delete":
            self.raw("DEL", KEY)
            self.stands = None
        elif verb == "type":
            self.raw("DEL", KEY)
            make(self.raw, KEY, first)
            self.stands = f"<{first}>"
        else:
            self.exchange(self.stands or "" if first == "what stands" else first, second, mark)

    def exchange(self, expected: str | None, proposed: str | None, mark: str) -> None:
        before = aside(self.raw, KEY)
        lost = None if self.stands is None or self.stands.startswith("<") else wire(self.stands)
        reply = exchange(self.raw, wire(expected or ""), wire(proposed or ""), mark)
        stamp = reply.stands.decode("latin-1").removeprefix(mark) if reply.was_absent else "0" * 13
        assert len(stamp) == 13
        judged = oracle(self.stands, expected, proposed, mark, stamp)
        answered = Exchanged(
            reply.stands.decode("latin-1"), reply.granted == 1, reply.was_absent == 1, reply.moved_aside != b""
        )
        assert answered == judged, f"{self.stands!r} {expected!r} {proposed!r}"
        assert self.raw("GET", KEY) == wire(judged.stands)
        new = sorted(set(aside(self.raw, KEY)) - set(before))
        assert len(new) == judged.moved_aside
        if new and lost is not None:
            assert self.raw("GET", new[0]) == lost, "what was moved aside is still what it was"
        for key in new:
            assert 0 < self.raw("PTTL", key) <= 86_400_000
            self.raw("DEL", key)
        self.stands = judged.stands


def test_the_script_does_what_its_oracle_says(server: Server) -> None:
    with Raw(server) as raw:

        @settings(max_examples=examples(120), deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(st.lists(st.tuples(STEPS, MARKS), min_size=1, max_size=12))
        def alike(steps: list[tuple[tuple[str, Any, Any], str]]) -> None:
            twin = Twin(raw)
            for (verb, first, second), mark in steps:
                twin.step(verb, first, second, mark)
            twin.exchange(None, None, vacant(1, "0" * 16).encode())

        alike()


def test_script_and_oracle_agree_on_what_a_record_is(server: Server) -> None:
    """Field by field, at every edge; text that only one of them takes for a record would split the cluster."""
    good = "rppam1 held node1 0123456789abcdef 12 3 0123456789abcdef"
    texts = [
        " ".join([*good.split()[:place], field, *good.split()[place + 1 :]])
        for place in range(7)
        for field in FIELD_VALUES
    ]
    texts += [good + " ", " " + good, good + "\n", good.replace(" ", "  "), good + " x", good[:-1], "", "\0" + good]
    taken = 0
    with Raw(server) as raw:
        for text in texts:
            raw("SET", KEY, wire(text))
            is_record = exchange(raw).was_absent == 0
            assert is_record == (parse_record(text) is not None), repr(text)
            taken += is_record
    assert 20 < taken < len(texts) // 2, "the table holds both kinds"


def test_a_swap_needs_the_very_record_that_stands(server: Server) -> None:
    mine = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)
    later = mine._replace(seq=2)
    with Raw(server) as raw:
        assert exchange(raw, "", mine.encode()).was_absent == 1
        mark = raw("GET", KEY)
        written = parse_record(mark.decode())
        assert written is not None
        assert written.state is RecordState.VACANT, "nothing but a mark is written where nothing is"
        for other in (
            mine.encode(),
            mark.decode().replace("ffff", "fffe", 1),
            mark.decode().upper(),
            mark.decode() + " ",
            mark.decode()[:-1],
            "",
            "*",
            ".*",
        ):
            reply = exchange(raw, other, mine.encode())
            assert (reply.granted, reply.stands, raw("GET", KEY)) == (0, mark, mark), other
        assert exchange(raw, mark, mine.encode()).granted == 1
        assert exchange(raw, mark, later.encode()).granted == 0, "the same request again, as a late duplicate"
        assert exchange(raw, mine.encode(), later.encode()).granted == 1
        assert raw("GET", KEY) == later.encode().encode()
        assert RECORD_TTL_MS - 10_000 < raw("PTTL", KEY) <= RECORD_TTL_MS


def test_only_a_release_is_published(server: Server) -> None:
    held = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)
    released = held._replace(state=RecordState.RELEASED, seq=3)
    with Raw(server) as raw, Raw(server) as ear:
        ear("PSUBSCRIBE", "*")
        exchange(raw)
        mark = raw("GET", KEY).decode()
        exchange(raw, mark, held.encode(), heartbeat='{"a":1}')
        exchange(raw, held.encode(), held._replace(seq=2).encode(), heartbeat='{"a":2}')
        exchange(raw, held.encode(), released.encode())  # refused: another record stands
        exchange(raw)
        exchange(raw, held._replace(seq=2).encode(), released.encode())
        exchange(raw, heartbeat='{"a":3}', leaving=True)
        assert ear.read() == [b"pmessage", b"*", b"rppam:releases", released.encode().encode()]
        with pytest.raises(TimeoutError):
            ear.read(0.2)


def test_heartbeats_register_expire_and_leave(server: Server) -> None:
    with Raw(server) as raw:
        assert exchange(raw).members == {}, "who publishes nothing is not registered"
        exchange(raw, node="node1", heartbeat='{"beat":1}')
        reply = exchange(raw, node="node2", heartbeat='{"beat":1,"node":"node2"}')
        assert reply.members == {b"node1": b'{"beat":1}', b"node2": b'{"beat":1,"node":"node2"}'}
        assert reply.own_before == b""
        assert 0 < raw("PTTL", "rppam:heartbeat:node2") <= HEARTBEAT_TTL_MS
        assert exchange(raw, node="node1", heartbeat='{"beat":2}').own_before == b'{"beat":1}'
        raw("DEL", "rppam:heartbeat:node2")
        assert exchange(raw).members[b"node2"] == b"", "an expired heartbeat does not end a membership"
        seconds, micros = raw("TIME")
        assert abs(int(seconds) * 1000 + int(micros) // 1000 - exchange(raw).store_wall_ms) < 2_000


def test_who_leaves_is_no_member_and_its_goodbye_is_read_by_all(server: Server) -> None:
    with Raw(server) as raw:
        for node in ("node1", "node2"):
            exchange(raw, node=node, heartbeat="{}")
        exchange(raw, node="node2", heartbeat='{"leaving":true}', leaving=True)
        assert raw("SMEMBERS", "rppam:members") == [b"node1"]
        for _ in range(3):
            assert exchange(raw).members == {b"node1": b"{}", b"node2": b'{"leaving":true}'}
        raw("DEL", "rppam:heartbeat:node2")  # as when it expires
        assert exchange(raw).members == {b"node1": b"{}"}
        assert raw("EXISTS", "rppam:leavers") == 0
        exchange(raw, node="node1", heartbeat='{"leaving":true}', leaving=True)
        assert exchange(raw, node="node1", heartbeat='{"back":1}').members == {b"node1": b'{"back":1}'}
        assert raw("EXISTS", "rppam:leavers") == 0


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_a_foreign_type_at_any_of_our_keys_is_moved_aside_whole(server: Server, kind: str) -> None:
    keys = ["rppam:leader", "rppam:heartbeat:node1", "rppam:members", "rppam:leavers"]
    with Raw(server) as raw:
        for key in keys:
            if (kind, key) in {("set", "rppam:members"), ("set", "rppam:leavers")}:
                continue
            raw("FLUSHALL")
            make(raw, key, kind)
            dump = raw("DUMP", key)
            reply = exchange(raw, heartbeat="{}")
            [moved] = aside(raw, key)
            assert f"{key} held a {kind}".encode() in reply.moved_aside
            assert moved in reply.moved_aside, "it says where it is now"
            assert raw("DUMP", moved) == dump
            assert 0 < raw("PTTL", moved) <= 86_400_000
            assert exchange(raw, heartbeat="{}")[:2] == (0, 0)
            assert exchange(raw, heartbeat="{}").members == {b"node1": b"{}"}


def test_of_what_is_moved_aside_the_newest_is_kept_and_expires(server: Server) -> None:
    with Raw(server) as raw:
        for number in range(50):
            raw("SET", KEY, f"text {number}")
            assert b"not a record" in exchange(raw).moved_aside
        [kept] = aside(raw, KEY)
        assert raw("GET", kept) == b"text 49"
        assert 0 < raw("PTTL", kept) <= 86_400_000


def test_a_long_list_of_names_is_emptied_and_who_is_known_or_lives_stays(server: Server) -> None:
    with Raw(server) as raw:
        for node in ("node1", "node2"):
            exchange(raw, node=node, heartbeat="{}")
        raw("EVAL", "for i = 1, 20000 do redis.call('SADD', 'rppam:members', 'g' .. i) end", 0)
        reply = exchange(raw, node="node1", heartbeat="{}", first="node1 node2 node9")
        assert reply.members == {b"node1": b"{}", b"node2": b"{}"}
        assert b"rppam:members listed more names than any cluster has nodes" in reply.moved_aside
        assert reply.moved_aside.endswith(b"20002")
        assert sorted(raw("SMEMBERS", "rppam:members")) == [b"node1", b"node2"]
        assert raw("KEYS", "rppam:members*") == [b"rppam:members"], "nothing of it is kept"
        raw("EVAL", "for i = 1, 20000 do redis.call('SADD', 'rppam:leavers', 'g' .. i) end", 0)
        exchange(raw)
        assert raw("EXISTS", "rppam:leavers") == 0


def test_who_is_known_from_elsewhere_is_read_although_the_list_lacks_it(server: Server) -> None:
    with Raw(server) as raw:
        exchange(raw, node="node2", heartbeat="{}")
        raw("DEL", "rppam:members")
        assert exchange(raw, first="node1 node2").members == {b"node2": b"{}"}
        assert exchange(raw).members == {}


def test_names_that_no_node_can_have_are_removed_however_long(server: Server) -> None:
    with Raw(server) as raw:
        exchange(raw, node="node1", heartbeat="{}")
        raw("SADD", "rppam:members", *(f"{i}" + "x" * 60_000 for i in range(100)), "A", "a b", "")
        reply = exchange(raw)
        assert reply.members == {b"node1": b"{}"}
        assert reply.moved_aside.endswith(b"names: 103".replace(b"names", b"Names"))
        assert raw("SMEMBERS", "rppam:members") == [b"node1"]


def test_a_user_of_an_earlier_release_gets_no_error_for_what_it_may_not_ask(server: Server) -> None:
    later = {"scard", "unlink"}
    before = [name for name in NODE_COMMANDS if name not in later and "|" not in name]
    with Raw(server) as root, Raw(server) as raw:
        root(
            "ACL",
            "SETUSER",
            "before",
            "on",
            ">x",
            "~rppam:*",
            "resetchannels",
            "&rppam:*",
            *(f"+{name}" for name in before),
        )
        raw("AUTH", "before", "x")
        root("SADD", "rppam:members", *(f"g{i}" for i in range(300)))
        reply = exchange(raw, node="node1", heartbeat="{}")
        assert len(reply.members) == 301
        root("SET", KEY, "garbage")
        assert b"not a record" in exchange(raw, node="node1", heartbeat="{}").moved_aside
        root("ACL", "DELUSER", "before")


@pytest.mark.parametrize("text", ["", "garbage", "[1]", "\0", "{" * 5_000, "x" * 200_000])
def test_garbage_for_heartbeats_is_kept_away_and_never_sent_along(server: Server, text: str) -> None:
    with Raw(server) as raw:
        exchange(raw, node="node2", heartbeat="{}")
        raw("SET", "rppam:heartbeat:node2", text)
        reply = exchange(raw, node="node1", heartbeat="{}")
        assert len(reply.members[b"node2"]) <= 4096, "a long text is not carried around twice a second"
        reply = exchange(raw, node="node2", heartbeat='{"a":1}')
        assert reply.own_before == b""
        assert raw("GET", aside(raw, "rppam:heartbeat:node2")[0]) == text.encode()
        assert exchange(raw).members[b"node2"] == b'{"a":1}'


def snapshot(raw: Raw, pattern: str) -> dict[bytes, bytes]:
    return {key: raw("DUMP", key) for key in raw("KEYS", pattern)}


def test_two_prefixes_never_meet(server: Server) -> None:
    held = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)
    with Raw(server) as raw, Raw(server) as ear:
        exchange(raw, prefix="prod:", heartbeat="{}")
        exchange(raw, raw("GET", "prod:leader"), held.encode(), prefix="prod:", heartbeat="{}")
        before = snapshot(raw, "prod:*")
        ear("SUBSCRIBE", "prod:releases")
        make(raw, "staging:members", "hash")
        raw("SET", "staging:leader", "garbage")
        exchange(raw, held.encode(), held._replace(seq=2).encode(), prefix="staging:", heartbeat="{}")
        standing = raw("GET", "staging:leader")
        exchange(raw, standing, held._replace(state=RecordState.RELEASED).encode(), prefix="staging:", heartbeat="{}")
        exchange(raw, prefix="staging:", heartbeat="{}", leaving=True)
        assert snapshot(raw, "prod:*") == before
        with pytest.raises(TimeoutError):
            ear.read(0.1)
        assert all(key.startswith((b"prod:", b"staging:")) for key in raw("KEYS", "*"))


def scripts_commands(server: Server, session: Callable[[Raw], None]) -> list[list[bytes]]:
    """The commands that scripts called while ``session`` ran, by MONITOR."""
    with Raw(server) as spy, Raw(server) as raw:
        spy("MONITOR")
        session(raw)
        raw("ECHO", "the end")
        seen = []
        while b"the end" not in (line := spy.read()):
            if b"lua]" in line:
                seen.append(line.split(b'"')[1::2])
    return seen


def test_every_key_and_channel_stands_under_the_prefix_and_no_command_needs_more_rights(server: Server) -> None:
    held = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)

    def session(raw: Raw) -> None:
        make(raw, "only:members", "list")
        make(raw, "only:leavers", "list")
        raw("SET", "only:heartbeat:node1", "garbage")
        raw("SET", "only:leader", "garbage")
        reply = exchange(raw, prefix="only:", heartbeat="{}")
        exchange(raw, reply.stands, held.encode(), prefix="only:", heartbeat="{}")
        exchange(raw, held.encode(), held._replace(state=RecordState.RELEASED).encode(), prefix="only:", heartbeat="{}")
        exchange(raw, prefix="only:", heartbeat="{}", leaving=True)
        exchange(raw, prefix="only:")

    called = scripts_commands(server, session)
    verbs = {words[0].upper() for words in called}
    assert verbs >= {b"SET", b"GET", b"PUBLISH", b"SADD", b"SREM", b"RENAME", b"PEXPIRE"}
    assert not verbs & {b"CONFIG", b"FLUSHALL", b"FLUSHDB", b"DEBUG", b"KEYS", b"SCAN"}
    for words in called:
        names = words[1:3] if words[0].upper() == b"RENAME" else words[1:2]
        assert all(name.startswith(b"only:") for name in names), words
    with Raw(server) as raw:
        assert all(key.startswith(b"only:") for key in raw("KEYS", "*"))


def test_a_hardened_server_is_enough(server: Server) -> None:
    kind: ServerKind = server.kind
    with Server(kind, *HARDENED) as hardened, Raw(hardened) as raw:
        for verb in ("FLUSHALL", "CONFIG", "DEBUG", "KEYS"):
            with pytest.raises(Exception, match="unknown command"):
                raw(verb, "x", "y")
        first = exchange(raw, heartbeat="{}")
        held = Record(RecordState.HELD, "node1", "a" * 16, 7, 1, "f" * 16)
        assert exchange(raw, first.stands, held.encode(), heartbeat="{}").granted == 1
        raw("SET", KEY, "garbage")
        assert exchange(raw).was_absent == 1


def test_the_name_of_the_script_is_what_the_server_calls_it(server: Server) -> None:
    with Raw(server) as raw:
        assert raw("SCRIPT", "LOAD", EXCHANGE.text).decode() == EXCHANGE.sha
