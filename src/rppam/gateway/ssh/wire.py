"""What a connection of asyncssh sends: fewer packets than it would by itself, and more of them at once.

asyncssh puts an empty packet before each one, against an attack on ciphers in CBC mode (RFC 4251, 9.3.1); with others
that only costs, on both sides. It hands each packet to the socket alone; here those of one turn of the loop go
together. And with AES-GCM it makes the cipher anew for each packet, and copies what it gives it; here the one of a key
stays. These are private parts of asyncssh: the version is pinned, and tests hold them to it.
What it does not promise: that a packet is with the kernel when the call that sent it returns.
"""

import asyncio
from typing import Any, Final

from asyncssh.connection import SSHConnection
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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


class Gcm:
    """AES-GCM of one direction and key (RFC 5647): it goes on where asyncssh's own has come to."""

    def __init__(self, so_far: GCMCipher) -> None:
        self._aead = AESGCM(so_far._key)
        self._fixed, self._count = so_far._iv[:4], int.from_bytes(so_far._iv[4:], "big")

    def encrypt_and_sign(self, header: bytes, data: bytes) -> tuple[bytes, bytes]:
        """What is sent, in two parts that asyncssh puts together."""
        return header, self._aead.encrypt(self._nonce(), data, header)

    def verify_and_decrypt(self, header: bytes, data: bytes, mac: bytes) -> bytes | None:
        """What was sent; ``None``: somebody has changed it."""
        try:
            return self._aead.decrypt(self._nonce(), data + mac, header)
        except InvalidTag:
            return None

    def _nonce(self) -> bytes:
        count, self._count = self._count, (self._count + 1) & 0xFFFF_FFFF_FFFF_FFFF
        return self._fixed + count.to_bytes(8, "big")


def _quicken_cipher(encryption: Any) -> None:
    if isinstance(encryption, GCMEncryption) and isinstance(encryption._cipher, GCMCipher):
        encryption._cipher = Gcm(encryption._cipher)  # type: ignore[assignment]


def quicken(connection: SSHConnection) -> None:
    """Have a new connection send as the module says. Call it when the connection is made."""
    whole = connection.send_packet
    known: tuple[Any, Any] = None, None
    is_chained = False

    def send_packet(kind: int, *parts: bytes, **more: Any) -> None:
        nonlocal known, is_chained
        sent, received = connection._send_encryption, connection._recv_encryption
        if sent is not known[0] or received is not known[1]:  # with each exchange of keys there are others
            known, is_chained = (sent, received), _is_chained(connection)
            _quicken_cipher(sent)
            _quicken_cipher(received)
        if kind == _IGNORE and parts == (_EMPTY,) and not is_chained:
            return
        whole(kind, *parts, **more)

    connection.send_packet = send_packet  # type: ignore[assignment]
    transport = connection._transport
    if transport is not None:
        connection._transport = Together(transport)  # type: ignore[assignment]


def _is_chained(connection: SSHConnection) -> bool:
    return str(connection.get_extra_info("send_cipher", "")).endswith("-cbc")
