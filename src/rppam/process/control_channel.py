"""Short orders and reports between the supervisor and its children, as whole packets on a socket pair.

Nothing waits: a message that cannot be sent at once is dropped, and the call returns false. A child whose channel has
ended has no supervisor any more. Descriptors travel along where the receiver needs them.
"""

import json
import os
import select
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

BYTES_MAX: Final = 16 * 1024
_DESCRIPTORS_MAX: Final = 32


class Message(NamedTuple):
    """One order or report."""

    word: str
    """What it is: ``stop``, ``ready``, ..."""
    facts: dict[str, Any]
    descriptors: tuple[int, ...] = ()
    """They belong to the receiver."""


class ControlChannel:
    """One end of a line."""

    def __init__(self, plug: socket.socket) -> None:
        plug.setblocking(False)
        self._plug = plug

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Both ends. Linux only."""
        if sys.platform == "win32":
            raise NotImplementedError("socket pairs that keep packets whole need Linux")
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(one), cls(other)

    @classmethod
    def of(cls, descriptor: int) -> Self:
        """The end that ``descriptor`` is, which belongs to the line from now on."""
        return cls(socket.socket(fileno=descriptor))

    def fileno(self) -> int:
        """For a poll."""
        return self._plug.fileno()

    def send(self, word: str, descriptors: Sequence[int] = (), **facts: object) -> bool:
        """Send one message; whether it left."""
        data = json.dumps([word, facts]).encode()
        try:
            if descriptors and sys.platform != "win32":
                socket.send_fds(self._plug, [data], list(descriptors))
            else:
                self._plug.send(data)
        except OSError:  # full, too long, or nobody there
            return False
        return True

    def receive(self) -> Message | None:
        """The next message, ``None`` when there is none now. EOFError when the other end is gone."""
        try:
            if sys.platform == "win32":
                raise NotImplementedError
            data, descriptors, _, _ = socket.recv_fds(self._plug, BYTES_MAX, _DESCRIPTORS_MAX)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        try:
            word, facts = json.loads(data)[:2]  # what a later release says after these is passed over
        except (ValueError, TypeError, KeyError, RecursionError):
            word, facts = "", {}
        if not isinstance(word, str) or not isinstance(facts, dict):
            word, facts = "", {}
        return Message(word, facts, tuple(descriptors))

    def wait(self) -> None:
        """Until there is a message, or the end."""
        select.select([self], [], [])

    def close(self) -> None:
        """Hang up."""
        self._plug.close()
