"""The holder's rules: every byte of output once and in order, every typed byte once, and no old generation."""

import ast
import struct

from hypothesis import given, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rppam.gateway.holder import protocol
from rppam.gateway.holder.program import Core
from rppam.gateway.holder.protocol import Frames

RING, KEEP = 200, 80


class Sessions(RuleBasedStateMachine):
    """Gateways come and go; each has what is durable, and loses what was on its way."""

    @initialize()
    def begin(self) -> None:
        self.core, self.frames = Core(RING, KEEP), Frames()
        self.said, self.typing, self.got = bytearray(), bytearray(), bytearray()
        self.durable = self.at = self.generation = 0
        self.shown, self.is_attached = b"", False
        self.sent_to, self.accepted = 0, bytearray()

    @rule(data=st.binary(min_size=1, max_size=120))
    def say(self, data: bytes) -> None:
        """The shell says something, if there is room: else it waits."""
        data = data[: max(0, self.core.room())]
        self.core.put(data)
        self.said += data

    @rule(back=st.integers(0, 300))
    def attach(self, back: int) -> None:
        self.generation += 1
        del self.got[self.durable :]
        answer = self.core.attach(self.generation, self.durable, back)
        assert answer is not None
        self.is_attached, self.frames = True, Frames()
        start = answer["from"]
        assert answer["off"] == self.durable
        assert max(0, self.durable - min(back, KEEP)) >= start or start == 0 or start <= self.durable
        self.at = start
        assert answer["in"] == len(self.accepted)

    @rule(older=st.integers(0, 5))
    def an_old_generation_is_refused(self, older: int) -> None:
        before = self.core.gen
        assert self.core.attach(self.core.gen - older, self.durable, 0) is None
        assert self.core.gen == before

    @precondition(lambda self: self.is_attached)
    @rule(cut=st.integers(1, 400))
    def read(self, cut: int) -> None:
        """The gateway reads a frame, in two pieces."""
        wire = self.core.out()
        for piece in (wire[:cut], wire[cut:]):
            for kind, body in self.frames.take(piece):
                if kind == b"o":
                    assert self.said[self.at : self.at + len(body)] == body
                    new = max(0, len(self.got) - self.at)
                    self.got += body[new:]
                    self.at += len(body)
                elif kind == b"i":
                    assert struct.unpack(">Q", body)[0] == len(self.accepted)

    @precondition(lambda self: self.is_attached)
    @rule(share=st.floats(0, 1))
    def make_durable(self, share: float) -> None:
        self.durable += int((len(self.got) - self.durable) * share)
        assert self.core.take(protocol.acknowledged(self.durable)) == []

    @precondition(lambda self: self.is_attached)
    @rule(data=st.binary(min_size=1, max_size=30), again=st.integers(0, 40))
    def type(self, data: bytes, again: int) -> None:
        """The user types, and sends some of what came before again."""
        off = max(0, len(self.typing) - again)
        self.typing += data
        for frame in protocol.typed(off, bytes(self.typing[off:])):
            for kind, body in self.core.take(frame):
                assert kind == b"d"
                self.accepted += body

    @invariant()
    def nothing_is_lost_or_twice(self) -> None:
        assert self.accepted == self.typing
        assert self.said.startswith(bytes(self.got))
        assert self.core.base <= self.durable <= self.core.end() == len(self.said)
        assert self.core.end() - self.core.acked <= RING
        assert len(self.core.buf) <= RING + KEEP + KEEP // 4


TestSessions = Sessions.TestCase


def test_the_end_is_heard_only_after_all_output_and_may_be_heard_twice() -> None:
    core = Core()
    core.attach(1, 0, 0)
    core.put(b"last")
    core.status = 3
    assert [core.out()[:1] for _ in range(3)] == [b"o", b"x", b""]
    core.take(protocol.HEARD)
    assert not core.done(), "the output is not acknowledged"
    core.attach(2, 4, 0)
    assert core.out() == b"x" + struct.pack(">Ii", 4, 3)
    core.take(protocol.HEARD)
    assert core.done()


def test_a_gap_in_what_was_typed_is_no_frame() -> None:
    core = Core()
    core.attach(1, 0, 0)
    (frame,) = protocol.typed(5, b"x")
    try:
        core.take(frame)
    except ValueError:
        return
    raise AssertionError("it was taken")


@given(st.binary(max_size=200))
def test_nonsense_raises_and_types_nothing(data: bytes) -> None:
    core = Core()
    core.attach(1, 0, 0)
    try:
        found = core.take(data)
    except ValueError:
        return
    assert all(kind in (b"d", b"w", b"s", b"k", b"n") for kind, _ in found)


def test_the_program_is_small_and_of_an_old_python() -> None:
    ast.parse(protocol.program(), feature_version=(3, 6))
    ask = protocol.Ask("id", "ab" * 32, 1, True, 0, 0, 900, 80, 24, "xterm", ())
    assert len(ask.lines()) < 6_144
    assert "ab" * 32 not in protocol.COMMAND
    assert '"""' not in protocol.program()


def test_no_more_is_on_its_way_than_the_holder_has_room_for() -> None:
    typing, core, got = protocol.Typing(), Core(), b""
    data = bytes(range(256)) * 700
    wire = typing.put(data[:150_000]) + typing.put(data[150_000:])
    assert (typing.is_full, typing.at) == (True, len(data))
    while wire:
        assert len(wire) <= protocol.TYPED_AHEAD + 100
        got += b"".join(body for _, body in core.take(wire))
        wire = typing.took(core.typed)
    assert (got, typing.is_full) == (data, False)
    assert typing.took(2**62) == b""
