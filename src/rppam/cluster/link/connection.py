"""One connection between two members: whole messages in and out, bounded in both directions.

A message is 4 bytes of length, 8 bytes of sequence number, then what ``codec`` reads. Sequence numbers start at 0 for
each direction of each connection: inside TLS a wrong one is a fault of the other side or an attack.

Decides when what the other side sent cannot be read, when it sends too much, when nothing was heard for too long, and
what to drop when it does not read. Messages that can be asked again (vote requests, votes, pings) are dropped, the
oldest first; the others wait, and too many of them end the connection. ``inbound`` and ``outbound`` decide who may say
what.

Silence is counted in looks, not in time: a process that itself stood still looks once when it wakes, after it has read
what came meanwhile, and so accuses nobody of its own absence. Only whole frames count as heard, so a peer that dribbles
bytes is as silent as one that sends none.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from rppam.cluster.link.codec import Message, encode
from rppam.cluster.link.rejections import Refused
from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant

FRAME_BYTES_MAX: Final = 64 * 1024
"""Longest frame, without its length."""
_HEAD: Final = struct.Struct(">IQ")
_LENGTH: Final = struct.Struct(">I")
_SEQ_BYTES: Final = 8

LOOK_S: Final = 0.25
"""Period of the looks."""
LOOKS_PER_PING: Final = 4
LOOKS_SILENT_MAX: Final = 12
"""After so many looks without a frame the other side is gone: 3 s."""
MESSAGES_PER_LOOK_MAX: Final = 2_000
"""A member says some 10 messages a second; this many in a quarter of one are a flood."""
DROPPABLE_MAX: Final = 64
"""Droppable messages that wait for a peer that does not read."""
WAITING_MAX: Final = 1_024
UNSENT_BYTES_MAX: Final = 1024 * 1024
"""More messages or bytes than this end the connection."""
LINGER_S: Final = 0.1
"""Time for what was said before the end to leave."""
_HIGH_WATER: Final = 64 * 1024


class FrameError(Exception):
    """The stream cannot go on."""

    def __init__(self, reason: Refused) -> None:
        self.reason = reason
        super().__init__(reason)


class FrameWriter:
    """Numbers and packs what one side says."""

    def __init__(self) -> None:
        self._seq = 0

    def pack(self, data: bytes) -> bytes:
        assert len(data) + _SEQ_BYTES <= FRAME_BYTES_MAX
        frame = _HEAD.pack(len(data) + _SEQ_BYTES, self._seq) + data
        self._seq += 1
        return frame


class FrameReader:
    """Unpacks what the other side says."""

    def __init__(self) -> None:
        self._seq = 0
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that are whole now. Raises FrameError, after which nothing more can be read.

        What came whole before the error is lost with it: a stream that is wrong anywhere is not believed.
        """
        buffer = self._buffer
        buffer += data
        whole: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_BYTES_MAX:
                raise FrameError(Refused.OVERSIZED)
            if length < _SEQ_BYTES:
                raise FrameError(Refused.MALFORMED)
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            whole.append(self._message(bytes(buffer[start:end])))
            start = end
        del buffer[:start]
        return whole

    def _message(self, frame: bytes) -> bytes:
        _, seq = _HEAD.unpack_from(frame)
        if seq != self._seq:
            raise FrameError(Refused.REPLAYED)
        self._seq += 1
        return frame[_HEAD.size :]


class Ended(NamedTuple):
    """Why a connection is over."""

    reason: Refused | None
    """``None``: it broke, or somebody hung up."""
    error: Exception | None = None


class Waiting(NamedTuple):
    """A message that the network does not take yet."""

    data: bytes
    dropped: Callable[[], None] | None
    """Whom to tell when it is dropped; ``None``: it is never dropped."""


class MemberConnection(asyncio.Protocol):
    """See the module."""

    def __init__(
        self,
        *,
        clock: Clock,
        on_data: "Callable[[MemberConnection, bytes], None]",
        on_end: "Callable[[MemberConnection, Ended], None]",
    ) -> None:
        """``on_data`` gets every message in order; ``on_end`` is called once, when nothing more can come or go."""
        self.heard_at: Instant | None = None
        self.silent_looks = 0
        self.ended: Ended | None = None
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the transport is closed."""
        self._clock = clock
        self._on_data = on_data
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._writer = FrameWriter()
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._droppable = 0
        self._paused = False
        self._messages = 0

    # --- what asyncio calls -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = made = cast("asyncio.Transport", transport)  # uvloop's is none by class, only by behaviour
        made.set_write_buffer_limits(high=_HIGH_WATER)
        if self.ended is not None:
            made.abort()

    def data_received(self, data: bytes) -> None:
        if self.ended is not None:
            return
        try:
            messages = self._reader.feed(data)
        except FrameError as error:
            self.refuse(error.reason)
            return
        if not messages:
            return
        self.heard_at = self._clock.now()
        self.silent_looks = 0
        self._messages += len(messages)
        if self._messages > MESSAGES_PER_LOOK_MAX:
            self.refuse(Refused.TOO_MANY)
            return
        for message in messages:
            if self.ended is not None:
                return  # what came before may have ended it
            self._on_data(self, message)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._waiting and not self._paused:
            data, dropped = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._droppable -= dropped is not None
            self._write(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        self._end(Ended(None, error))

    # --- what the sessions call ---------------------------------------------------------------------------------------

    @property
    def transport(self) -> asyncio.Transport | None:
        return self._transport

    @property
    def is_open(self) -> bool:
        """Whether something said now may arrive."""
        return self.ended is None and self._transport is not None

    def say(self, message: Message, *, dropped: Callable[[], None] | None = None) -> bool:
        """Hand ``message`` to the network, or queue it; return whether that was possible.

        With ``dropped`` it may leave the queue unsent, which ``dropped`` then hears.
        """
        return self.say_data(encode(message), dropped=dropped)

    def say_data(self, data: bytes, *, dropped: Callable[[], None] | None = None) -> bool:
        """As ``say``, for what is encoded already."""
        if not self.is_open:
            return False
        if not self._paused:
            self._write(data)
            return True
        self._waiting.append(Waiting(data, dropped))
        self._waiting_bytes += len(data)
        self._droppable += dropped is not None
        if self._droppable > DROPPABLE_MAX:
            self._drop_oldest()
        if self._waiting_bytes > UNSENT_BYTES_MAX or len(self._waiting) > WAITING_MAX:
            self.refuse(Refused.UNREAD)
        return self.is_open

    def look(self) -> bool:
        """Count one more period of silence; return whether the other side is still thought to be there."""
        self._messages = 0
        self.silent_looks += 1
        return self.silent_looks < LOOKS_SILENT_MAX

    def refuse(self, reason: Refused, last: bytes = b"") -> None:
        """End it because the other side is refused, with a last word if one is given."""
        if self.is_open and last and not self._paused:
            self._write(last)
        self._end(Ended(reason))
        self._close(gently=bool(last))

    def drop(self) -> None:
        self._end(Ended(None))
        self._close(gently=False)

    def finish(self) -> None:
        """End it once what was said has left."""
        self._end(Ended(None))
        self._close(gently=True)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(self._writer.pack(data))

    def _drop_oldest(self) -> None:
        place, oldest = next((place, one) for place, one in enumerate(self._waiting) if one.dropped is not None)
        del self._waiting[place]
        self._waiting_bytes -= len(oldest.data)
        self._droppable -= 1
        assert oldest.dropped is not None
        oldest.dropped()

    def _end(self, ended: Ended) -> None:
        if self.ended is not None:
            return
        self.ended = ended
        self._waiting.clear()
        self._waiting_bytes = 0
        self._on_end(self, ended)

    def _close(self, *, gently: bool) -> None:
        if self._transport is None:
            return
        if not gently:
            self._transport.abort()
            return
        self._transport.close()
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_S, self._transport.abort)


def prepare(sock: socket.socket) -> None:
    """Have small messages leave at once, and the kernel look after dead peers, too."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
