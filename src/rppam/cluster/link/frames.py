"""Messages in a stream of bytes: 4 bytes of length, 8 bytes of sequence number, then the message.

Decides where a message ends, and that it is neither too long nor out of sequence. Sequence numbers start at 0 for each
direction of each connection: inside TLS a wrong one is a fault of the other side or an attack. The message is read by
:mod:`rppam.cluster.link.codec`.
"""

import struct
from typing import Final

from rppam.cluster.link.rejections import Refused

FRAME_BYTES_MAX: Final = 64 * 1024
"""Longest frame, without its length."""
_HEAD: Final = struct.Struct(">IQ")
_LENGTH: Final = struct.Struct(">I")
_SEQ_BYTES: Final = 8


class FrameError(Exception):
    """The stream cannot go on. ``reason`` says why."""

    def __init__(self, reason: Refused) -> None:
        self.reason = reason
        super().__init__(reason)


class FrameWriter:
    """Numbers and packs what one side says."""

    def __init__(self) -> None:
        self._seq = 0

    def pack(self, data: bytes) -> bytes:
        """The next frame."""
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
        """The messages that are whole now. Raises :class:`FrameError`, after which nothing more can be read.

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
