"""A SIEM target: kinds, formats, and what each needs. Pure."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.siem.errors import TargetInvalid


class TargetKind(StrEnum):
    """What takes the events."""

    SYSLOG = "syslog"
    SPLUNK = "splunk"
    SENTINEL = "sentinel"
    WEBHOOK = "webhook"


class Format(StrEnum):
    """How one event is written."""

    JSON = "json"
    CEF = "cef"
    LEEF = "leef"
    OCSF = "ocsf"


_SCHEMES: Final[Mapping[TargetKind, tuple[str, ...]]] = MappingProxyType(
    {
        TargetKind.SYSLOG: ("tls", "tcp"),
        TargetKind.SPLUNK: ("https", "http"),
        TargetKind.SENTINEL: ("https", "http"),
        TargetKind.WEBHOOK: ("https", "http"),
    }
)
_NEEDS: Final[Mapping[TargetKind, tuple[str, ...]]] = MappingProxyType(
    {TargetKind.SENTINEL: ("token_url", "client_id", "rule_id", "stream")}
)
_SECRETS: Final = frozenset({TargetKind.SPLUNK, TargetKind.SENTINEL, TargetKind.WEBHOOK})


class Options(NamedTuple):
    """What else a target says."""

    batch_size: int = 100
    """At most so many events in one request."""
    batch_bytes: int = 1_000_000
    """At most so many bytes in one request."""
    flush_seconds: int = 5
    """So long events wait for more of them."""
    verify_tls: bool = True
    ca_path: str = ""
    """A file with authorities on every node; the system's where it is empty."""
    token_url: str = ""
    """Sentinel: where an access token is asked for."""
    client_id: str = ""
    rule_id: str = ""
    """Sentinel: the immutable id of the data collection rule."""
    stream: str = ""
    """Sentinel: ``Custom-RpPam_CL``."""
    acknowledge: bool = True
    """Splunk: wait until the indexer has acknowledged what was sent."""


class Target(NamedTuple):
    """A target as it is kept."""

    id: str
    name: str
    kind: TargetKind
    format: Format
    url: str
    options: Options
    secret: Secret | None
    enabled: bool
    revision: int
    cursor: int
    sent_at: WallMs | None
    failed_at: WallMs | None
    problem: str
    reached: int = 0
    """Events before this index may have been sent, if not before ``cursor``; none behind it was."""


class Endpoint(NamedTuple):
    """Where a target listens."""

    host: str
    port: int
    is_secure: bool


def check_target(kind: TargetKind, format_: Format, url: str, options: Options, *, has_secret: bool) -> None:
    """Raises :class:`TargetInvalid` for what can never work, naming the field."""
    schemes = _SCHEMES[kind]
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in schemes or not parts.hostname or port == -1:
        raise TargetInvalid(f"url: expected {schemes[0]}://HOST:PORT, found another address")
    if parts.username or parts.password:
        raise TargetInvalid("url: expected no user and password in it; use 'secret'")
    for name in _NEEDS.get(kind, ()):
        if not getattr(options, name):
            raise TargetInvalid(f"options.{_camel(name)}: a target of the kind {kind.value} needs it")
    if kind in _SECRETS and not has_secret:
        raise TargetInvalid(f"secret: a target of the kind {kind.value} needs one")
    if kind is not TargetKind.SYSLOG and format_ in {Format.CEF, Format.LEEF}:
        raise TargetInvalid(f"format: {kind.value} takes json or ocsf, found {format_.value}")


def _camel(name: str) -> str:
    """As the name stands in a request."""
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)


def endpoint_of(url: str) -> Endpoint:
    """Where to connect for syslog: port 6514 for TLS (RFC 5425), else 514."""
    parts = urlsplit(url)
    is_secure = parts.scheme == "tls"
    return Endpoint(parts.hostname or "", parts.port or (6514 if is_secure else 514), is_secure)


def options_of(found: Mapping[str, Any]) -> Options:
    """The options in a stored object; what is not known is left out."""
    return Options(**{name: value for name, value in found.items() if name in Options._fields})
