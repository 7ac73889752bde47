"""A value in shared memory: whole or not at all, whoever dies when."""

import os
import signal
import threading

import pytest
from hypothesis import given, strategies as st

from rppam.process.seqlock import SeqlockCell, numbers


def cell(capacity: int = 64) -> tuple[bytearray, SeqlockCell]:
    memory = bytearray(SeqlockCell.size(capacity))
    return memory, SeqlockCell(memoryview(memory), 0, capacity)


def test_no_value_until_one_is_written() -> None:
    _, made = cell()
    assert made.read() is None
    assert made.read_newer(0) == (0, None)


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=20))
def test_what_was_written_last_is_read(values: list[bytes]) -> None:
    _, made = cell()
    for number, value in enumerate(values, 1):
        assert made.write(value)
        assert made.read_newer(number - 1) == (number, value)
        assert made.read_newer(number) == (number, None)


def test_too_long_a_value_is_refused_and_changes_nothing() -> None:
    _, made = cell(8)
    assert made.write(b"12345678")
    assert not made.write(b"123456789")
    assert made.read() == b"12345678"


@given(st.data())
def test_a_writer_that_dies_at_any_byte_leaves_the_value_of_before(data: st.DataObject) -> None:
    """The memory after a death is a mixture: some bytes as after the write, in the order in which they are written."""
    memory, made = cell()
    made.write(b"first value")
    made.write(b"second value")
    before = bytes(memory)
    made.write(b"third, and longer, value")
    after = bytes(memory)
    # The current number is written last, in one piece: bytes 0 to 8.
    changed = [place for place in range(8, len(memory)) if before[place] != after[place]]
    memory[:] = before
    for place in data.draw(st.sets(st.sampled_from(changed))):
        memory[place] = after[place]
    assert made.read() == b"second value"


def test_damaged_bytes_are_never_returned() -> None:
    memory, made = cell()
    made.write(b"value")
    memory[memory.index(b"value")] ^= 1
    assert made.read() is None


def test_readers_see_whole_values_while_a_writer_never_stops() -> None:
    _, made = cell(4096)
    made.write(b"0" * 4096)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            for digit in b"0123456789":
                made.write(bytes([digit]) * 4096)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [made.read() for _ in range(3_000)]
    finally:
        over.set()
        writer.join()
    whole = [value for value in seen if value is not None]
    assert len(whole) > 2_500, "a reader that is overtaken again and again gives up now and then, no more"
    assert all(len(set(value)) == 1 for value in whole)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")
def test_a_writer_killed_in_the_middle_harms_no_reader() -> None:
    import mmap

    for _ in range(20):
        memory = mmap.mmap(-1, SeqlockCell.size(100_000))
        made = SeqlockCell(memoryview(memory), 0, 100_000)
        made.write(b"a" * 100_000)
        child = os.fork()
        if child == 0:
            while True:
                for letter in b"abcdef":
                    made.write(bytes([letter]) * 100_000)
        first = made.read_newer(0)[0]
        while made.read_newer(0)[0] == first:
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        value = made.read()
        assert value is not None
        assert len(value) == 100_000
        assert len(set(value)) == 1


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")
def test_another_process_never_sees_a_number_half_written() -> None:
    import mmap

    memory = mmap.mmap(-1, mmap.PAGESIZE)
    shared = numbers(memoryview(memory))
    low, high = 1, 2**63 + 1
    shared[0] = low
    child = os.fork()
    if child == 0:
        while True:
            shared[0] = high
            shared[0] = low
    try:
        seen = {shared[0] for _ in range(2_000_000)}
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert seen <= {low, high}
