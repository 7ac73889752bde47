"""Two ends of one stream that call each other: a forwarded connection of a user and its other end.

Early bytes, half closes and pauses are kept both ways. asyncssh's own forwarder drops what comes while an end has no
transport, and takes a connection for a session where it is awaited.
"""

from collections.abc import Callable
from typing import Final

import asyncssh


class Half(asyncssh.SSHTCPSession[bytes], asyncssh.SSHUNIXSession[bytes]):
    """One end."""

    def __init__(self, count: Callable[[int], None], gone: Callable[["Half"], None] = lambda _: None) -> None:
        """``count`` hears how many bytes came from here, ``gone`` when nothing more will."""
        self.peer: Half | None = None
        self._channel: asyncssh.SSHTCPChannel[bytes] | asyncssh.SSHUNIXChannel[bytes] | None = None
        self._early: list[bytes] = []
        self._at_end = self._told_end = self._ready = self._closed = self._held = False
        self._count: Final = count
        self._gone: Final = gone

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:  # type: ignore[override]
        self._channel = chan

    def session_started(self) -> None:
        self._ready = True
        if self.peer is not None:
            self.peer.flush()
        self.flush()

    def flush(self) -> None:
        """Hand on what has come, if the other end can take it."""
        peer = self.peer
        if peer is None or not peer._ready or peer._channel is None:
            return
        early, self._early = self._early, []
        for data in early:
            peer.write(data)
        if self._at_end and not self._told_end:
            self._told_end = True
            if not peer._channel.is_closing():
                peer._channel.write_eof()
        if self._held and self._channel is not None:
            self._held = False
            self._channel.resume_reading()
        if self._closed:
            peer._channel.close()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        self._count(len(data))
        peer = self.peer
        if peer is not None and peer._ready and peer._channel is not None and not self._early:
            peer.write(data)
            return
        self._early.append(data)
        if self._channel is not None and not self._held:
            self._held = True
            self._channel.pause_reading()

    def write(self, data: bytes) -> None:
        """Give ``data`` to whoever is at this end, if anybody still is."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(data)

    def eof_received(self) -> bool:
        self._at_end = True
        self.flush()
        return True

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer._channel is not None:
            self.peer._channel.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer._channel is not None:
            self.peer._channel.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        self.flush()
        self._gone(self)


def pair(
    up: Callable[[int], None], down: Callable[[int], None], gone: Callable[[Half], None] = lambda _: None
) -> tuple[Half, Half]:
    """The user's end and the target's end; ``gone`` hears when the user's is over."""
    front, back = Half(up, gone), Half(down)
    front.peer, back.peer = back, front
    return front, back
