"""What a connection to Redis needs to know, as plain values.

:class:`LinkOptions` is for a :class:`~rppam.redis.link.Link` (several addresses, and what to do over time);
:class:`Target` is one address out of it, for one :class:`~rppam.redis.connection.Connection`. Neither parses
anything: text is the business of ``rppam.config``, whose result :meth:`LinkOptions.of` takes over.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ssl import SSLContext
from types import MappingProxyType
from typing import Final

from rppam.config.options import ConnectionOptions
from rppam.kernel.secret import Secret
from rppam.kernel.tls import trusting

NO_RENAMES: Final[Mapping[str, str]] = MappingProxyType({})
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one connection may keep in memory, and how much of what a server says is believed.

    Beyond the first two a command fails at once with StoreOverloaded; beyond the others the connection ends, with
    StoreReplyTooLarge or StorePushFlood: what was announced cannot be skipped without reading it.
    """

    pending_commands: int = 10_000
    """Commands that wait for their reply or to be sent."""
    unsent_bytes: int = 32 * MIB
    """Bytes of commands that wait to be sent because the network does not take them."""
    reply_bytes: int = 32 * MIB
    """Size of one reply."""
    elements: int = 262_144
    """Elements of one reply, those of its parts included."""
    pushed_words: int = 100_000
    """Words of pushes within a second: a name that has changed is one."""
    pushed_bytes: int = 64 * MIB
    """Bytes of pushes within a second."""


GREETING: Final = Limits(reply_bytes=MIB // 4, elements=4_096, pushed_words=100, pushed_bytes=MIB // 4)
"""Before it is known who is there: HELLO, INFO and ROLE are some kilobytes."""
LEASE: Final = Limits(
    pending_commands=1_000,
    unsent_bytes=4 * MIB,
    reply_bytes=4 * MIB,
    elements=16_384,
    pushed_words=10_000,
    pushed_bytes=4 * MIB,
)
"""Leadership's link: one record, the heartbeats of all members (each some hundred bytes), a page of names."""
CACHE: Final = Limits(unsent_bytes=16 * MIB, reply_bytes=8 * MIB, elements=65_536)
"""The link of a process that answers requests: copies, counts, and the names that have changed."""
SENTINEL: Final = Limits(
    pending_commands=1_000, unsent_bytes=MIB, reply_bytes=MIB, elements=16_384, pushed_words=1_000, pushed_bytes=MIB
)
"""A link to a sentinel: what it says of one service, and of its failovers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How to enter a server."""

    user: str | None = None
    password: Secret | None = None
    database: int = 0
    client_name: str | None = None
    connect_timeout_ms: int = 5_000
    """For TCP, TLS and the greeting together, per attempt and address; the article's connectTimeout."""
    command_map: Mapping[str, str] = field(default_factory=lambda: NO_RENAMES)
    """Upper-case command to the name it has on this server; an empty name means: disabled."""
    ssl: SSLContext | None = None
    """Ready-made TLS context, or ``None`` for plain TCP."""
    server_hostname: str | None = None
    """Name that the certificate must carry; ``None`` means the host."""
    require_primary: bool = True
    """Refuse a read-only replica with StoreReadOnly."""
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Entry):
    """One address and how to enter there."""

    host: str
    port: int
    silence_ms: int = 5_000
    """A connection on which something waits for a reply and nothing at all arrives for this long is given up."""

    @property
    def address(self) -> str:
        """``host:port`` for people, IPv6 in brackets."""
        return address(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkOptions(Entry):
    """Where Redis is, how to enter, and how patient to be."""

    endpoints: tuple[tuple[str, int], ...]
    """Addresses ``(host, port)``, tried in this order."""
    command_timeout_ms: int = 5_000
    """The article's syncTimeout: the deadline of a command that does not bring its own."""
    silence_ms: int | None = None
    """See Target; ``None`` means ``command_timeout_ms``."""
    connect_retry: int = 3
    """Attempts in all at the start, at least 1."""
    reconnect_cap_ms: int = 2_000
    """Longest wait between two attempts to come back."""
    keep_alive_s: float = 60
    """A PING is sent when nothing was received for this long; 0 means never."""
    abort_connect: bool = True
    """Whether start() fails when Redis cannot be reached, or goes on trying in the background."""

    @classmethod
    def of(
        cls, connection: ConnectionOptions, *, client_name: str | None = None, ssl: SSLContext | None = None
    ) -> "LinkOptions":
        """What a parsed connection string asks for.

        ``client_name`` is used when the string has no ``name``. ``ssl`` is the context to use when it says
        ``ssl=true``; ``None`` means the system's authorities and no client certificate.
        """
        return cls(
            endpoints=tuple((endpoint.host, endpoint.port) for endpoint in connection.endpoints),
            user=connection.user,
            password=connection.password,
            database=connection.default_database or 0,
            client_name=connection.name or client_name,
            connect_timeout_ms=connection.timeouts.connect_ms,
            command_timeout_ms=connection.timeouts.sync_ms,
            connect_retry=connection.timeouts.connect_retry,
            keep_alive_s=connection.timeouts.keep_alive_s,
            abort_connect=connection.abort_connect,
            command_map=MappingProxyType(dict(connection.command_map)),
            ssl=(ssl or modern_context()) if connection.ssl else None,
            server_hostname=connection.ssl_host,
        )

    @classmethod
    def of_sentinels(
        cls, connection: ConnectionOptions, *, client_name: str | None = None, ssl: SSLContext | None = None
    ) -> "LinkOptions":
        """The same for the sentinels themselves: their own user and password, no database, no renamed commands."""
        return replace(
            cls.of(connection, client_name=client_name, ssl=ssl),
            user=connection.sentinel_user or connection.user,
            password=connection.sentinel_password or connection.password,
            database=0,
            command_map=NO_RENAMES,
            abort_connect=False,
            require_primary=False,
        )

    def targets(self) -> tuple[Target, ...]:
        """One Target for each address, in order."""
        return tuple(self.target(host, port) for host, port in self.endpoints)

    def target(self, host: str, port: int) -> Target:
        """The Target for one address, whether it is among the endpoints or not."""
        silence_ms = self.command_timeout_ms if self.silence_ms is None else self.silence_ms
        entry = {one.name: getattr(self, one.name) for one in fields(Entry)}
        return Target(host=host, port=port, silence_ms=silence_ms, **entry)


def address(host: str, port: int) -> str:
    """``host:port`` for people, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def modern_context() -> SSLContext:
    """The system's authorities, names checked, and TLS 1.2 at least, whatever the system's own least is."""
    return trusting()
