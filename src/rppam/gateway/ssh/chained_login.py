"""Two factors one after the other: after a first one that was right, the client is told *partial success*. And
certificates of users, which the owner of the connection judges.

asyncssh's server never says so by itself, so the handlers of passwords and keys are replaced by ones that ask the owner
of the connection first; and it would have a certificate name all of ``USER+TARGET``, and forgets what one allows as
soon as the client asks for the second factor. They are asyncssh's private parts: the version is pinned, and a test
holds them to it.
"""

import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import asyncssh
from asyncssh import auth
from asyncssh.packet import PacketDecodeError, SSHPacket

IN_HARDWARE: Final = "sk-"
"""What the types of keys begin with that never leave a piece of hardware."""
PIN_GIVEN: Final = 0x04
"""In the flags that such hardware signs: it has seen that it is its owner, by a PIN or a finger."""
Limits = Mapping[str, object]
"""The options of a certificate, as asyncssh reads them: what its user is held to."""


class Owner(Protocol):
    """Whose connection it is."""

    async def certificate_shown(self, line: bytes) -> bool:
        """Whether this certificate, as OpenSSH writes it, may let the user in; nothing is proved by it."""
        ...

    async def key_proved(self, flags: int, limits: Limits | None) -> bool:
        """Hear that the user has signed with the key, in hardware that says so with ``flags``; whether that lets them
        in. ``limits``: those of its certificate; ``None``: it was shown without one."""
        ...

    def needs_second(self) -> bool:
        """Whether another factor is to follow the one that was right just now."""
        ...


async def _send_success(handler: auth.ServerAuth) -> bool:
    conn: Any = handler._conn
    owner = conn.get_owner()
    if conn.auth is handler and hasattr(owner, "needs_second") and cast("Owner", owner).needs_second():
        conn.send_userauth_failure(True)
        return True
    return False


class _Password(auth._ServerPasswordAuth):
    async def send_success(self) -> None:
        if not await _send_success(self):
            await super().send_success()


class _Key(auth._ServerPublicKeyAuth):
    _flags = 0

    async def _start(self, packet: SSHPacket) -> None:
        self._flags = flags_of(packet.get_remaining_payload())
        await super()._start(packet)

    async def send_success(self) -> None:
        """The signature was right, which nobody knew when the key was looked up."""
        conn: Any = self._conn
        owner = conn.get_owner()
        if conn.auth is not self or not await cast("Owner", owner).key_proved(self._flags, conn._cert_options):
            self.send_failure()
        elif not await _send_success(self):
            await super().send_success()


def flags_of(request: bytes) -> int:
    """The flags in the signature of a request to log in by a key; 0 where it is by none that is in hardware. The
    signature is over them, and is checked by others."""
    packet = SSHPacket(request)
    with contextlib.suppress(PacketDecodeError):
        if packet.get_boolean():
            packet.get_string()
            packet.get_string()
            signature = SSHPacket(packet.get_string())
            if signature.get_string().startswith(IN_HARDWARE.encode()):
                signature.get_string()
                return signature.get_byte()
    return 0


def hold_to(conn: asyncssh.SSHServerConnection, limits: Limits | None) -> None:
    """Hold who logs in to the limits of the certificate that was one of the factors; ``None``: none was."""
    conn._cert_options = None if limits is None else dict(limits)


async def _certificate(conn: Any, username: str, cert: Any) -> Any:
    del username  # it names a target as well
    if not await cast("Owner", conn.get_owner()).certificate_shown(cert.export_certificate()):
        return None
    conn._key_options, conn._cert_options = {}, cert.options
    cert.key.set_touch_required(True)
    return cert.key


def install() -> None:
    """Use these handlers in this process."""
    asyncssh.SSHServerConnection._validate_openssh_certificate = _certificate  # type: ignore[assignment]
    auth._server_auth_handlers[b"password"] = _Password
    auth._server_auth_handlers[b"publickey"] = _Key
