"""What a connection of asyncssh sends: fewer packets than it would by itself, and more of them at once.

asyncssh puts an empty packet before each one, against an attack on ciphers in CBC mode (RFC 4251, 9.3.1); with others
that only costs, on both sides. And it hands each packet to the socket alone; here those of one turn of the loop go
together.
What it does not promise: that a packet is with the kernel when the call that sent it returns.
"""

import asyncio
from typing import Any, Final

from asyncssh.connection import SSHConnection

_IGNORE: Final = 2
"""SSH_MSG_IGNORE."""
_EMPTY: Final = bytes(4)
AT_ONCE_BYTES: Final = 256 * 1024
"""So much goes to the socket without waiting for the end of the turn."""


class Together:
    """A transport that writes once in a turn of the loop."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write with all else that is written until the loop turns."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= AT_ONCE_BYTES:
            self._flush()

    def close(self) -> None:
        """Close once all is written."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once; what a reason to leave was said is tried."""
        self._flush()
        self._transport.abort()

    def _flush(self) -> None:
        if self._waiting:
            data, self._waiting, self._size = b"".join(self._waiting), [], 0
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def quicken(connection: SSHConnection) -> None:
    """Have a new connection send as the module says. Call it when the connection is made."""
    whole = connection.send_packet
    known, is_chained = None, False

    def send_packet(kind: int, *parts: bytes, **more: Any) -> None:
        nonlocal known, is_chained
        if kind == _IGNORE and parts == (_EMPTY,):
            if connection._send_encryption is not known:  # with each exchange of keys there is another
                known, is_chained = connection._send_encryption, _is_chained(connection)
            if not is_chained:
                return
        whole(kind, *parts, **more)

    connection.send_packet = send_packet  # type: ignore[assignment]
    transport = connection._transport
    if transport is not None:
        connection._transport = Together(transport)  # type: ignore[assignment]


def _is_chained(connection: SSHConnection) -> bool:
    return str(connection.get_extra_info("send_cipher", "")).endswith("-cbc")
