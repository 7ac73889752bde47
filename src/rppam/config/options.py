"""How to reach Redis: what a connection string says, as a frozen value.

It holds secrets only as :class:`~rppam.kernel.secret.Secret`, so printing or logging it is harmless.
"""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from rppam.config.endpoint import Endpoint
from rppam.config.keywords import CONNECT_RETRY, CONNECT_TIMEOUT_MS, KEEP_ALIVE_S, SYNC_TIMEOUT_MS
from rppam.kernel.secret import Secret


class Ignored(NamedTuple):
    """An option that is understood and has no effect here."""

    option: str
    reason: str
    value: Secret
    """Kept so that nothing is lost when the string is written again."""


class Timeouts(NamedTuple):
    """How patient to be."""

    connect_ms: int = CONNECT_TIMEOUT_MS
    sync_ms: int = SYNC_TIMEOUT_MS
    connect_retry: int = CONNECT_RETRY
    """Attempts of the first connect in all, at least 1."""
    keep_alive_s: int = KEEP_ALIVE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """Everything a connection string says, with the defaults of the vendor article on Redis for HA."""

    endpoints: tuple[Endpoint, ...]
    """Redis servers, or sentinels when ``service_name`` is set. At least one; no repeats."""
    service_name: str | None = None
    """Name of the primary at the sentinels."""
    user: str | None = None
    password: Secret | None = None
    sentinel_user: str | None = None
    """``None``: the same as ``user``."""
    sentinel_password: Secret | None = None
    """``None``: the same as ``password``."""
    ssl: bool = False
    ssl_host: str | None = None
    """Name expected in the certificate; ``None``: the endpoint's own host."""
    abort_connect: bool = True
    """Whether a start fails (exit 69) when Redis cannot be reached."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    default_database: int | None = None
    """``None``: not given, so 0."""
    name: str | None = None
    """Connection name for CLIENT SETNAME; ``None``: not given."""
    command_map: tuple[tuple[str, str], ...] = ()
    """Upper-case command and the name it has on this server, sorted; an empty name means disabled."""
    ignored: tuple[Ignored, ...] = ()
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Names of the options that stand in the string with a number."""
    repeated: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Names of those that stand there more than once, with different values: the last one counts."""

    @property
    def mode(self) -> str:
        """``single`` or ``sentinel``."""
        return "sentinel" if self.service_name is not None else "single"

    def with_password(self, password: Secret | None) -> "ConnectionOptions":
        """The same with another password."""
        return replace(self, password=password)


ATTRIBUTES: Final[dict[str, str]] = {
    "serviceName": "service_name", "user": "user", "password": "password", "sentinelUser": "sentinel_user",
    "sentinelPassword": "sentinel_password", "ssl": "ssl", "sslHost": "ssl_host", "abortConnect": "abort_connect",
    "connectTimeout": "timeouts.connect_ms", "syncTimeout": "timeouts.sync_ms",
    "connectRetry": "timeouts.connect_retry", "keepAlive": "timeouts.keep_alive_s",
    "defaultDatabase": "default_database", "name": "name",
}  # fmt: skip
"""Option that is honoured to attribute, in the order of writing."""
