"""Which of several sentinels to believe, and what their messages mean."""

import pytest

from rppam.redis.sentinel_rules import (
    Reaction,
    SentinelAnswer,
    Switch,
    fields,
    newest,
    react,
    read_answer,
    read_failover,
    read_switch,
    to_try,
    why_none,
)

A, B, C = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("10.0.0.3", 6379)
NAME = "rppam"


def says(primary: tuple[str, int] | None, epoch: int = 0, sentinel: str = "s") -> SentinelAnswer:
    return SentinelAnswer(sentinel, primary, epoch)


@pytest.mark.parametrize(
    ("answers", "asked", "best"),
    [
        ([], 3, ()),
        ([says(None), says(None)], 3, ()),
        ([says(A), says(A), says(A)], 3, (A,)),
        ([says(A)], 3, (A,)),  # two are down: one is enough to connect, the server must say the rest
        ([says(None), says(A)], 3, (A,)),  # one does not know the name
        ([says(B, 7), says(A, 6)], 3, (B,)),  # one that was cut off and names the primary of before
        ([says(A, 6), says(A, 6), says(B, 7)], 3, (B, A)),  # the newest first; a majority is still worth a look
        ([says(A, 6), says(B, 7), says(B, 7)], 3, (B,)),
        ([says(A, 6), says(A, 6), says(B, 7)], 5, (B,)),  # 2 of 5 are no majority
        ([says(A, 1), says(B, 2), says(C, 3)], 3, (C,)),
        ([says(A), says(B), says(B)], 3, (B, A)),  # nobody counts: votes decide the order
        ([says(B), says(A), says(A)], 4, (A, B)),
        ([says(A), says(B)], 2, (A, B)),  # as it was said
    ],
)
def test_the_newest_failover_counts_and_a_majority_is_worth_a_look(answers, asked, best) -> None:
    assert to_try(answers, asked) == best


def test_the_newest_are_those_of_the_highest_epoch_whatever_a_majority_says() -> None:
    assert newest([says(A, 6), says(A, 6), says(B, 7)]) == (B,)
    assert newest([says(A, 7), says(B, 7), says(B, 7), says(C, 1)]) == (B, A)
    assert newest([says(None, 9), says(A, 0)]) == (A,)
    assert newest([]) == newest([says(None)]) == ()


def test_a_promotion_is_read_with_suspicion() -> None:
    assert read_failover(b"slave 10.0.0.2:6379 10.0.0.2 6379 @ rppam 10.0.0.1 6379") == Switch(NAME, A, B)
    for odd in (
        b"",
        b"master rppam 10.0.0.1 6379",
        b"slave x 10.0.0.2 6379 at rppam 10.0.0.1 6379",
        b"slave x 10.0.0.2 6379 @ rppam 10.0.0.1 x",
        b"slave x 10.0.0.2 66379 @ rppam 10.0.0.1 6379",
        b"slave x 10.0.0.2 6379 @ rppam 10.0.0.1 6379 more",
    ):
        assert read_failover(odd) is None


@pytest.mark.parametrize(
    ("switch", "current", "reaction"),
    [
        (Switch(NAME, A, B), A, Reaction.MOVE),
        (Switch(NAME, A, B), None, Reaction.MOVE),
        (Switch(NAME, A, B), B, Reaction.IGNORE),  # the second and third sentinel say the same
        (Switch(NAME, A, B), C, Reaction.ASK),  # old news, or an address under another name
        (Switch("other", A, B), A, Reaction.IGNORE),
    ],
)
def test_what_a_message_means_depends_on_where_one_is(switch, current, reaction) -> None:
    assert react(switch, NAME, current) is reaction


def test_messages_are_read_with_suspicion() -> None:
    assert read_switch(b"rppam 10.0.0.1 6379 10.0.0.2 6379") == Switch(NAME, A, B)
    assert read_switch(b"rppam fd00::1 6379 redis-2.lan 6380") == Switch(NAME, ("fd00::1", 6379), ("redis-2.lan", 6380))
    for odd in (b"", b"rppam", b"rppam 10.0.0.1 x 10.0.0.2 6379", b"rppam a 1 b 70000", b"rppam a 1 b 1 c",
                b"r a 0 b 1",
                b"\xff"):  # fmt: skip
        assert read_switch(odd) is None


def master(**told: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode() for name, value in told.items()}


def test_an_answer_is_read_from_maps_and_from_flat_lists() -> None:
    told = master(ip=A[0], port="6379", config_epoch="4")
    flat = [word for pair in told.items() for word in pair]
    address = [b"10.0.0.1", b"6379"]
    assert read_answer("s", address, told) == read_answer("s", address, flat) == SentinelAnswer("s", A, 4)
    assert read_answer("s", None, {}) == SentinelAnswer("s", None)


def test_a_promoted_replica_is_newer_than_the_primary_that_is_still_listed() -> None:
    told = master(ip=A[0], port="6379", config_epoch="4")
    promoted = read_answer("s", [b"10.0.0.2", b"6379"], told)
    assert promoted == SentinelAnswer("s", B, 5)
    assert to_try([promoted, says(A, 4), says(A, 4)], 3)[0] == B


def test_an_answer_without_its_fields_counts_as_old() -> None:
    assert read_answer("s", [b"10.0.0.2", b"6379"], PermissionError()) == SentinelAnswer("s", B, 0)
    assert to_try([read_answer("s", [b"10.0.0.2", b"6379"], None), says(A, 1)], 3) == (A,)


@pytest.mark.parametrize("odd", [None, b"x", [b"a"], [1, 2], 7, [[b"a", b"b"], b"c"]])
def test_odd_replies_have_no_fields(odd) -> None:
    assert fields(odd) == {}


def test_odd_addresses_are_none() -> None:
    for odd in ([b"10.0.0.1"], [b"", b"6379"], [b"h", b"0"], [b"h", b"-1"], [b"h", "٣".encode()], b"h:1"):
        assert read_answer("s", odd, {}).primary is None


def test_an_unknown_name_is_told_with_the_names_there_are() -> None:
    answers = [
        SentinelAnswer("s1:26379", None, names=("mymaster",)),
        SentinelAnswer("s2:26379", None, names=("other", "mymaster")),
    ]
    assert why_none("rppam", answers) == (
        "the sentinels at s1:26379, s2:26379 do not know 'rppam'; they know: mymaster, other. "
        "Correct serviceName in redis.connectionString"
    )
    assert "they watch no primary at all" in why_none("rppam", [SentinelAnswer("s1:26379", None)])
