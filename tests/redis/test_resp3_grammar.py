"""The whole grammar of RESP3, cut anywhere: each reply is the one that was sent, and an attribute is never one.

An attribute stands before the value that it is about, at the top or within an aggregate. What must not happen is that
it, or a reply behind it, is taken for the answer of another command.
"""

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import hiredis
import pytest
from hypothesis import given, settings, strategies as st

from rppam.redis.errors import StoreReplyError, StoreReplyTooLarge
from rppam.redis.framing import MORE, Inbox
from rppam.redis.options import Limits
from tests.support.examples import examples

LIMITS = Limits(reply_bytes=100_000, elements=10_000, pushed_words=10_000, pushed_bytes=100_000)
MARK = b"an attribute"


class Sent(NamedTuple):
    """A value as a server says it, and as a client has it."""

    wire: bytes
    value: Any
    has_attribute: bool = False


def bulk(kind: bytes, data: bytes) -> bytes:
    return b"%b%d\r\n%b\r\n" % (kind, len(data), data)


def number(value: float) -> bytes:
    return b"inf" if value == math.inf else b"-inf" if value == -math.inf else repr(value).encode()


words = st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=12).map(str.encode)
_KINDS = st.one_of(
    words.map(lambda text: Sent(b"+%b\r\n" % text, text)),
    st.binary(max_size=30).map(lambda data: Sent(bulk(b"$", data), data)),
    words.map(lambda text: Sent(bulk(b"=", b"txt:" + text), text)),
    st.integers(-(2**62), 2**62).map(lambda value: Sent(b":%d\r\n" % value, value)),
    st.floats(allow_nan=False).map(lambda value: Sent(b",%b\r\n" % number(value), value)),
    st.booleans().map(lambda value: Sent(b"#t\r\n" if value else b"#f\r\n", value)),
    st.just(Sent(b"_\r\n", None)),
    st.just(Sent(b"$-1\r\n", None)),
    st.just(Sent(b"*-1\r\n", None)),
    st.integers(0, 10**30).map(lambda value: Sent(b"(%d\r\n" % value, str(value).encode())),
)


@st.composite
def simple(draw: st.DrawFn) -> Sent:
    """One of them; a function, since its name is shorter than what it stands for."""
    return draw(_KINDS)


SIMPLE = simple()
ERRORS = words.map(lambda text: Sent(b"-ERR %b\r\n" % text, StoreReplyError))


def several(kind: bytes, parts: list[Sent]) -> Sent:
    wire = b"%b%d\r\n%b" % (kind, len(parts), b"".join(one.wire for one in parts))
    return Sent(wire, [one.value for one in parts], any(one.has_attribute for one in parts))


def pairs(parts: list[tuple[Sent, Sent]]) -> Sent:
    wire = b"%%%d\r\n%b" % (len(parts), b"".join(key.wire + value.wire for key, value in parts))
    return Sent(wire, {key.value: value.value for key, value in parts}, any(value.has_attribute for _, value in parts))


def attributed(about: Sent) -> Sent:
    return Sent(b"|1\r\n" + bulk(b"$", MARK) + b":1\r\n" + about.wire, about.value, True)


def aggregates(inner: st.SearchStrategy[Sent]) -> st.SearchStrategy[Sent]:
    keys = words.map(lambda text: Sent(b"+%b\r\n" % text, text))
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: several(b"*", parts)),
        st.lists(inner, max_size=4).map(lambda parts: several(b"~", parts)),
        st.lists(st.tuples(keys, inner), max_size=3, unique_by=lambda pair: pair[0].value).map(pairs),
    )


def values(*, with_attributes: bool) -> st.SearchStrategy[Sent]:
    simple = st.one_of(SIMPLE, SIMPLE.map(attributed)) if with_attributes else SIMPLE
    whole = st.recursive(simple, aggregates, max_leaves=8)
    return st.one_of(whole, whole.map(attributed)) if with_attributes else st.one_of(whole, ERRORS)


PLAIN, ATTRIBUTED = values(with_attributes=False), values(with_attributes=True)


@st.composite
def streams(draw: st.DrawFn, *, with_attributes: bool) -> list[Sent]:
    """What a server says."""
    return draw(st.lists(ATTRIBUTED if with_attributes else PLAIN, min_size=1, max_size=5))


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    at = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in pairwise(at)]


def received(chunks: Iterable[bytes]) -> list[Any]:
    """As a connection takes them, until it is dropped."""
    box = Inbox("127.0.0.1:6379", LIMITS)
    found: list[Any] = []
    box.greeted()
    try:
        for chunk in chunks:
            before = len(found)
            box.feed(chunk)
            while (value := box.take()) is not MORE:
                found.append(value)
            box.settle(chunk, len(found) - before)
    except (StoreReplyTooLarge, hiredis.ProtocolError):
        found.append(None)
        return [*found[:-1], StoreReplyTooLarge]
    return found


def same(found: Any, sent: Any) -> bool:
    return isinstance(found, StoreReplyError) if sent is StoreReplyError else bool(found == sent)


places = st.lists(st.integers(0, 10_000), max_size=6)


@settings(max_examples=examples(300))
@given(streams(with_attributes=False), places)
def test_every_reply_is_the_one_that_was_sent(sent: list[Sent], at: list[int]) -> None:
    found = received(cut(b"".join(one.wire for one in sent), at))
    assert len(found) == len(sent)
    assert all(same(got, one.value) for got, one in zip(found, sent, strict=True)), (found, sent)


@settings(max_examples=examples(300))
@given(streams(with_attributes=True), places)
def test_an_attribute_is_never_a_reply_and_shifts_none(sent: list[Sent], at: list[int]) -> None:
    """The connection is dropped at the first one; what was taken before is what was sent, in its order."""
    found = received(cut(b"".join(one.wire for one in sent), at))
    refused = bool(found) and found[-1] is StoreReplyTooLarge
    assert refused == any(one.has_attribute for one in sent)
    taken = found[:-1] if refused else found
    whole = next((number for number, one in enumerate(sent) if one.has_attribute), len(sent))
    assert len(taken) <= whole if refused else len(taken) == whole
    assert all(same(got, one.value) for got, one in zip(taken, sent, strict=False)), (found, sent)
    assert MARK not in repr(taken).encode()


@pytest.mark.parametrize("step", [1, 2, 5, 1_000])
def test_what_a_server_with_attributes_answers_to_set_and_get(step: int) -> None:
    """``DEBUG PROTOCOL ATTRIB`` and a client that goes on would give GET the answer of SET."""
    wire = b"+OK\r\n|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n+OK\r\n$1\r\nv\r\n"
    found = received(wire[at : at + step] for at in range(0, len(wire), step))
    assert found in ([b"OK", StoreReplyTooLarge], [StoreReplyTooLarge])


def test_a_long_error_which_the_parser_does_not_know_drops_the_connection() -> None:
    assert received([bulk(b"!", b"ERR no"), b"+OK\r\n"]) == [StoreReplyTooLarge]
