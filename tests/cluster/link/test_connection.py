"""Frames: whole whatever the chunks, bounded, in sequence."""

import pytest
from hypothesis import given, strategies as st

from rppam.cluster.link.connection import FRAME_BYTES_MAX, FrameError, FrameReader, FrameWriter
from rppam.cluster.link.rejections import Refused

messages = st.binary(max_size=40)


@given(st.lists(messages, max_size=20), st.lists(st.integers(1, 30), min_size=1))
def test_messages_arrive_whole_and_in_order_however_the_bytes_are_cut(said: list[bytes], cuts: list[int]) -> None:
    writer, reader = FrameWriter(), FrameReader()
    stream = b"".join(writer.pack(data) for data in said)
    found: list[bytes] = []
    turn = 0
    while stream:
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert found == said


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_refused_or_read_and_memory_stays_bounded(chunks: list[bytes]) -> None:
    reader = FrameReader()
    reason = _fault(reader, chunks)
    assert reason in {None, Refused.OVERSIZED, Refused.MALFORMED, Refused.REPLAYED}
    assert len(reader._buffer) <= FRAME_BYTES_MAX + 200


def test_the_longest_frame_passes_and_one_byte_more_is_refused_before_it_is_there() -> None:
    data = b"x" * (FRAME_BYTES_MAX - 8)
    assert FrameReader().feed(FrameWriter().pack(data)) == [data]
    with pytest.raises(FrameError) as caught:
        FrameReader().feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    assert caught.value.reason is Refused.OVERSIZED


@pytest.mark.parametrize("order", [(0, 0), (1,), (0, 2), (0, 1, 0)])
def test_a_frame_that_comes_twice_or_out_of_order_is_refused(order: tuple[int, ...]) -> None:
    writer = FrameWriter()
    frames = [writer.pack(b"ping %d" % number) for number in range(3)]
    assert _fault(FrameReader(), [frames[number] for number in order]) is Refused.REPLAYED


def _fault(reader: FrameReader, chunks: list[bytes]) -> Refused | None:
    try:
        for chunk in chunks:
            reader.feed(chunk)
    except FrameError as error:
        return error.reason
    return None
