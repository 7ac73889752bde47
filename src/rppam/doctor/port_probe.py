"""A second look at a port with a bare socket, for when an error has several causes.

It says PING in plain text and keeps the first bytes of the answer, and it tries a TLS handshake that accepts every
certificate, only to read it. No password is ever sent, and the connection is closed at once. Bounded by one deadline.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Any, Final

from cryptography import x509

from rppam.doctor.diagnosis import PortProbe, needs_glimpse
from rppam.kernel.network import connected
from rppam.redis.errors import StoreError
from rppam.redis.options import Target

SAID_BYTES_MAX: Final = 200
GLIMPSE_S_MAX: Final = 3.0


async def second_look(target: Target, error: StoreError) -> PortProbe | None:
    """What is at the port, where ``error`` alone leaves several causes open; else ``None``."""
    if not needs_glimpse(error, with_tls=target.ssl is not None):
        return None
    return await glimpse(target, timeout_s=min(target.connect_timeout_ms / 1000, GLIMPSE_S_MAX))


async def glimpse(target: Target, *, timeout_s: float) -> PortProbe:
    """What is there. Never raises for what the other side does."""
    plain, secured = await asyncio.gather(_plain(target, timeout_s), _secured(target, timeout_s))
    is_open, said = plain
    speaks_tls, certificate = secured
    return PortProbe(is_open=is_open, said=said, speaks_tls=speaks_tls, certificate=certificate)


async def _plain(target: Target, timeout_s: float) -> tuple[bool, bytes]:
    is_open, said = False, b""
    with suppress(OSError, ValueError):  # TimeoutError is an OSError
        async with asyncio.timeout(timeout_s):
            with await connected(target.host, target.port) as plug:
                is_open = True
                # The transport gets a duplicate: ours is closed here, whatever it does with its.
                reader, writer = await asyncio.open_connection(sock=plug.dup())
                try:
                    writer.write(b"PING\r\n")
                    said = await reader.read(SAID_BYTES_MAX)
                finally:
                    writer.transport.abort()
    return is_open, said


async def _secured(target: Target, timeout_s: float) -> tuple[bool, str]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            with await connected(target.host, target.port) as plug:
                _, writer = await asyncio.open_connection(
                    sock=plug.dup(), ssl=context, server_hostname=target.server_hostname or target.host
                )
                try:
                    return True, describe(writer.get_extra_info("ssl_object"))
                finally:
                    writer.transport.abort()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or ""), ""  # who refuses in the words of TLS speaks it
    except (OSError, ValueError):  # TimeoutError is an OSError
        return False, ""


def describe(secured: Any) -> str:
    """For whom the peer's certificate is, by whom and until when."""
    der = secured.getpeercert(binary_form=True) if secured is not None else None
    if not der:
        return ""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = ", ".join(_names(certificate)) or certificate.subject.rfc4514_string()
        until = certificate.not_valid_after_utc.strftime("%Y-%m-%d %H:%M UTC")
        return f"for {names}; issued by {certificate.issuer.rfc4514_string()}; valid until {until}"
    except ValueError:
        return "one that cannot be read"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(entry.value) for entry in alternative]
