"""What a server announces is measured before the parser makes room for it, however the bytes are cut."""

import random
import tracemalloc
from collections.abc import Iterable
from typing import Any

import hiredis
import pytest
from hypothesis import given, settings, strategies as st

from rppam.redis.errors import StorePushFlood, StoreReplyTooLarge, classify
from rppam.redis.framing import LINE_BYTES_MAX, MORE, BeyondError, Framing, Inbox, Pushes
from rppam.redis.options import LEASE, Limits
from tests.support.examples import examples

SMALL = Limits(reply_bytes=10_000, elements=1_000, pushed_words=100, pushed_bytes=10_000)
NESTED = b"*1\r\n" * 1_000 + b":1\r\n"
LIES = {
    "an array": b"*2147483647\r\n",
    "a push": b">1000000000\r\n",
    "a map": b"%2147483647\r\n",
    "a set": b"~1000000000\r\n",
    "attributes": b"|1\r\n+ttl\r\n:1\r\n",
    "a bulk": b"$2000000000\r\n",
    "a verbatim text": b"=2000000000\r\n",
    "many in one": b"*9\r\n" + b"*900\r\n" * 2,
    "an endless line": b"+" + b"x" * LINE_BYTES_MAX,
    "an endless number": b":" + b"9" * LINE_BYTES_MAX,
    "a long number": b"*" + b"9" * 5 + b"\r\n",
    "behind a reply": b"+OK\r\n*2147483647\r\n",
    "within a reply": b"*2\r\n:1\r\n*2147483647\r\n",
    "nested": NESTED,
}


def inbox(limits: Limits = SMALL) -> Inbox:
    made = Inbox("127.0.0.1:6379", limits)
    made.greeted()
    return made


def received(box: Inbox, data: bytes) -> list[Any]:
    """One chunk, as a connection takes it."""
    found = []
    box.feed(data)
    while (value := box.take()) is not MORE:
        found.append(value)
    box.settle(data, len(found))
    return found


def all_of(box: Inbox, chunks: Iterable[bytes]) -> list[Any]:
    """Several chunks, one after the other."""
    return [value for chunk in chunks for value in received(box, chunk)]


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1 << 20])
def test_a_lie_is_refused_however_it_is_cut_and_nothing_is_allocated_for_it(lie: bytes, step: int) -> None:
    if step < 7 and len(lie) > 10_000:
        step *= 1_000
    box = inbox()
    tracemalloc.start()
    try:
        with pytest.raises((StoreReplyTooLarge, hiredis.ProtocolError)):
            all_of(box, (lie[at : at + step] for at in range(0, len(lie), step)))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("lie", ["an array", "a push", "a map", "a set"])
def test_a_lie_that_is_cut_behind_its_first_byte_and_follows_a_reply_is_refused(lie: str) -> None:
    """The parser takes that byte and has nothing left over, so it looks as if the chunk ended with the reply."""
    box, data = inbox(), LIES[lie]
    tracemalloc.start()
    try:
        with pytest.raises(StoreReplyTooLarge):
            all_of(box, (b"+OK\r\n" + data[:1], data[1:]))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_text_that_is_cut_behind_its_first_byte_is_no_header() -> None:
    assert all_of(inbox(), (b"+OK\r\n+", b"|1 is a text\r\n")) == [b"OK", b"|1 is a text"]


def test_the_error_says_who_sent_what_and_what_to_do() -> None:
    with pytest.raises(
        StoreReplyTooLarge, match=r"127\.0\.0\.1:6379 sent a reply of 2147483647 elements, and takes 1000"
    ):
        received(inbox(), LIES["an array"])


def test_a_reply_that_never_ends_is_refused_by_its_bytes() -> None:
    box = inbox(LEASE)
    with pytest.raises(StoreReplyTooLarge):
        all_of(box, [b"*16000\r\n", *[b"$1000\r\n" + b"x" * 1000 + b"\r\n"] * 10_000])


def test_headers_below_the_suspicious_size_do_not_add_up_to_much() -> None:
    box = inbox(LEASE)
    tracemalloc.start()
    try:
        with pytest.raises((StoreReplyTooLarge, hiredis.ProtocolError)):
            all_of(box, [b"+OK\r\n" + b"*99\r\n" * 6_000] * 1_000)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


WORDS = st.recursive(
    st.one_of(
        st.binary(max_size=300).map(lambda text: b"$%d\r\n%b\r\n" % (len(text), text)),
        st.integers(-9, 10**12).map(lambda number: b":%d\r\n" % number),
        st.sampled_from(
            [b"+OK\r\n", b"-ERR x\r\n", b"_\r\n", b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b",1.5\r\n", b"#t\r\n"]
        ),
    ),
    lambda inner: st.lists(inner, max_size=150).map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts)),
    max_leaves=300,
)


@settings(max_examples=examples(150), deadline=None)
@given(replies=st.lists(WORDS, min_size=1, max_size=5), cuts=st.randoms(use_true_random=False))
def test_honest_replies_come_through_whatever_they_hold_and_however_they_are_cut(
    replies: list[bytes], cuts: random.Random
) -> None:
    stream = b"".join(replies)
    plain = hiredis.Reader(notEnoughData=MORE, replyError=classify)
    plain.feed(stream)
    expected = []
    while (value := plain.gets()) is not MORE:
        expected.append(value)
    box, found, at = inbox(Limits()), [], 0
    while at < len(stream):
        step = cuts.choice((1, 2, 5, 50, 1_000, 10**6))
        found += received(box, stream[at : at + step])
        at += step
    assert len(found) == len(expected) == len(replies)

    whole, framing = Framing(Limits()), Framing(Limits())
    whole.follow(stream)
    for one in range(len(stream)):
        framing.follow(stream[one : one + 1])
    assert not whole.is_open
    assert not framing.is_open
    assert box.partial_bytes == 0


def test_a_bulk_may_hold_what_looks_like_a_lie() -> None:
    text = b"*2147483647\r\n\n|>1000000000\r\n"
    bulk = b"$%d\r\n%b\r\n" % (len(text), text)
    for step in (1, 5, 1000):
        box, found = inbox(), []
        for at in range(0, len(bulk), step):
            found += received(box, bulk[at : at + step])
        assert found == [text]


def test_pushes_are_counted_within_a_second_and_not_longer() -> None:
    pushes = Pushes(SMALL)
    for second in range(20):
        for _ in range(33):
            pushes.count(100.0 + second, 3, 10)
    with pytest.raises(BeyondError, match="100 words within a second"):
        pushes.count(119.5, 3, 10)
    with pytest.raises(BeyondError, match="10000 bytes within a second"):
        Pushes(SMALL).count(1.0, 1, 10_001)


def test_an_invalidation_counts_for_each_name() -> None:
    with pytest.raises(StorePushFlood, match="and stop it"):
        inbox().pushed([b"invalidate", [b"name"] * 200], 10, 1.0)


def test_before_the_greeting_is_over_much_less_is_believed() -> None:
    box = Inbox("127.0.0.1:6379", Limits())
    with pytest.raises(StoreReplyTooLarge):
        received(box, b"*5000\r\n")
