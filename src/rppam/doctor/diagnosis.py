"""Which finding a failed connection is: by the class of the error, and what a second look at the port shows.

An error alone often has several causes: a server that hangs up may want TLS, or be no Redis at all. So a bare socket
says PING in plain text and keeps the first bytes of the answer, and tries a TLS handshake that accepts every
certificate, only to read it. No password is ever sent, and the connection is closed at once.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from rppam.catalogue.table import finding
from rppam.kernel.finding import Finding
from rppam.kernel.network import connected
from rppam.kernel.tls import tells_ill_made
from rppam.redis.errors import StoreCommandDisabled, StoreDown, StoreError, StoreUnknown
from rppam.redis.options import Target

SAID_BYTES_MAX: Final = 200
PROBE_S_MAX: Final = 3.0
_ALIKE: Final[dict[type[StoreError], str]] = {
    StoreUnknown: "RD-111",
    StoreDown: "RD-411",  # the node itself drops a connection only where the sentinels move the primary
    StoreCommandDisabled: "RD-215",
}
"""Errors with sentences of their own; the others say by their row which finding they are."""
_RESP: Final = tuple(bytes([kind]) for kind in b"+-:$*%~_#,(=>!|")
"""How each kind of reply begins in the Redis protocol."""
_TLS_WORDS: Final = (
    ("RD-121", ("certificate has expired", "not yet valid", "EXPIRED_CERT")),
    ("RD-123", ("ostname mismatch", "IP address mismatch", "doesn't match")),
    ("RD-122", ("issuer certificate", "self-signed", "self signed", "unable to verify the first")),
    (
        "RD-126",
        (
            "CERTIFICATE_REQUIRED",
            "HANDSHAKE_FAILURE",
            "UNKNOWN_CA",
            "BAD_CERTIFICATE",
            "CERTIFICATE_EXPIRED",
            "UNSUPPORTED_CERTIFICATE",
        ),
    ),
    ("RD-125", ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "PACKET_LENGTH")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortProbe:
    """What a bare socket saw at the port."""

    is_open: bool = False
    """A TCP connection was made."""
    said: bytes = b""
    """The first bytes it answered to a plain PING; at most a line, and only what is no secret."""
    speaks_tls: bool = False
    """It completed a TLS handshake, whatever its certificate."""
    certificate: str = ""
    """For whom its certificate is and until when."""


def code_of(error: StoreError, *, with_tls: bool, seen: PortProbe | None = None) -> str:
    """The code of the finding. ``with_tls``: this side spoke TLS."""
    seen = seen or PortProbe()
    while isinstance(error, StoreDown) and error.__cause__ is not None:
        if not isinstance(error.__cause__, StoreError):
            return "RD-113"
        error = error.__cause__
    code = error.row.finding or _ALIKE.get(type(error), "RD-214")
    text = f"{error.raw} {error}"
    if code in ("RD-105", "RD-106", "RD-108", "RD-127") or (code == "RD-102" and seen.is_open):
        code = _nearer(code, text, seen, with_tls=with_tls)
    return code


def _nearer(code: str, text: str, seen: PortProbe, *, with_tls: bool) -> str:
    """The cause behind an error that has several."""
    if "redis.tlsCertPath: expected" in text or "redis.tlsCaPath: expected" in text:
        return "RD-612"
    if "is a Redis Sentinel" in text:
        return "RD-110"
    if seen.said.startswith((b"HTTP/", b"<html", b"<!DOC")) or "speaks HTTP" in text:
        return "RD-107"
    if not with_tls and (seen.speaks_tls or "speaks TLS" in text):
        return "RD-124"
    if with_tls and seen.said.startswith(_RESP) and not seen.speaks_tls:
        return "RD-125"
    if with_tls and tells_ill_made(text):
        return "RD-129"
    for found, words in _TLS_WORDS if with_tls else ():
        if any(word in text for word in words):
            return found
    if code in ("RD-102", "RD-105"):
        return "RD-108" if seen.said and not seen.said.startswith(_RESP) else "RD-105"
    return code


def failure_finding(error: StoreError, *, with_tls: bool, seen: PortProbe | None = None) -> Finding:
    """The finding for a connection, or a command, that failed. Evidence: the words seen, never a secret."""
    code = code_of(error, with_tls=with_tls, seen=seen)
    evidence = str(error)
    if seen is not None and seen.certificate:
        evidence += f". Its certificate: {seen.certificate}"
    elif seen is not None and code in ("RD-107", "RD-125") and seen.said:
        evidence += f". It says: {seen.said[:60].decode('latin-1').splitlines()[0]!r}"
    return finding(code, evidence)


async def second_look(target: Target, error: StoreError) -> PortProbe | None:
    """What is at the port, where ``error`` alone leaves several causes open; else ``None``."""
    code = code_of(error, with_tls=target.ssl is not None)
    if code in ("RD-101", "RD-103", "RD-104", "RD-112", "RD-113", "RD-114", "RD-115") or code >= "RD-2":
        return None  # the cause is clear, or nothing can be reached anyhow
    return await probe_port(target, timeout_s=min(target.connect_timeout_ms / 1000, PROBE_S_MAX))


async def probe_port(target: Target, *, timeout_s: float) -> PortProbe:
    """What is there. Raises nothing for what the other side does."""
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
                    return True, _described(writer.get_extra_info("ssl_object"))
                finally:
                    writer.transport.abort()
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or ""), ""  # a refusal in TLS is spoken by TLS
    except (OSError, ValueError):  # TimeoutError is an OSError
        return False, ""


def _described(secured: Any) -> str:
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
