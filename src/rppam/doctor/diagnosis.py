"""Which finding a failed connection is: the class of the error, and what a second look at the port showed.

An error alone often has several causes (a server that hangs up may want TLS, or be no Redis at all), so the caller
looks a second time with a bare socket and hands over what it saw as a :class:`PortProbe`. It decides by table.
"""

from dataclasses import dataclass
from typing import Final

from rppam.catalogue.table import finding
from rppam.kernel.finding import Finding
from rppam.redis.errors import StoreCommandDisabled, StoreDown, StoreError, StoreUnknown

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
    ("RD-126", ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_EXPIRED")),
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


def code_of(error: StoreError, *, with_tls: bool, glimpse: PortProbe | None = None) -> str:
    """The code of the finding. ``with_tls``: this side spoke TLS."""
    seen = glimpse or PortProbe()
    while isinstance(error, StoreDown) and error.__cause__ is not None:
        if not isinstance(error.__cause__, StoreError):
            return "RD-113"
        error = error.__cause__
    code = error.row.finding or _ALIKE.get(type(error), "RD-214")
    text = f"{error.raw} {error}"
    if code in ("RD-105", "RD-106", "RD-108", "RD-127") or (code == "RD-102" and seen.is_open):
        code = _nearer(code, text, seen, with_tls=with_tls)
    return code


def needs_glimpse(error: StoreError, *, with_tls: bool) -> bool:
    """Whether a second look may tell more: not where the cause is clear, or where nothing can be reached anyhow."""
    code = code_of(error, with_tls=with_tls)
    return code not in ("RD-101", "RD-103", "RD-104", "RD-112", "RD-113", "RD-114", "RD-115") and code < "RD-2"


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
    for found, words in _TLS_WORDS if with_tls else ():
        if any(word in text for word in words):
            return found
    if code in ("RD-102", "RD-105"):
        return "RD-108" if seen.said and not seen.said.startswith(_RESP) else "RD-105"
    return code


def failure_finding(error: StoreError, *, with_tls: bool, glimpse: PortProbe | None = None) -> Finding:
    """The finding for a connection, or a command, that failed. Evidence: the words seen, never a secret."""
    code = code_of(error, with_tls=with_tls, glimpse=glimpse)
    evidence = str(error)
    if glimpse is not None and glimpse.certificate:
        evidence += f". Its certificate: {glimpse.certificate}"
    elif glimpse is not None and code in ("RD-107", "RD-125") and glimpse.said:
        evidence += f". It says: {glimpse.said[:60].decode('latin-1').splitlines()[0]!r}"
    return finding(code, evidence)
