"""How a node reaches Redis: the options, the TLS files and the source of addresses that its settings ask for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.health.model import SafetyLevel
from rppam.cluster.link.credentials import read_cluster_key
from rppam.config import patience
from rppam.config.options import ConnectionOptions
from rppam.config.patience import Patience
from rppam.config.settings import RedisSettings, Settings
from rppam.crypto.certificate_expiry import CertificateEnd
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.files import FileStamp, file_stamp
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.secret import Secret
from rppam.redis.endpoint_provider import DirectEndpoints
from rppam.redis.held_endpoints import HeldEndpoints
from rppam.redis.link import Link
from rppam.redis.options import CACHE, LEASE, LinkOptions
from rppam.redis.password_file import PasswordFile
from rppam.redis.sentinel import REPOINTED_WITHIN_MS, SentinelEndpoints
from rppam.redis.tls import TlsFiles, server_certificate_end, server_certificate_warning

CACHE_RECONNECT_CAP_MS: Final = 500

CONFIRMING_REPLICAS: Final = 1
"""Behind Sentinel a write of the record counts once so many replicas have it."""


class RedisParts(NamedTuple):
    """Leadership's way to Redis."""

    link: Link
    tls: TlsFiles | None
    watchers: tuple[Link, ...]
    """One link to each sentinel; none without Sentinel."""
    clock: Clock
    password: PasswordFile | None = None
    """Where the password stands, when that is a file."""
    held: HeldEndpoints | None = None
    """What keeps the link from Redis for a test."""

    @property
    def behind_sentinel(self) -> bool:
        """Whether Redis fails over."""
        return bool(self.watchers)

    @property
    def replicas(self) -> int:
        """How many replicas must confirm a write of the record."""
        return CONFIRMING_REPLICAS if self.behind_sentinel else 0

    @property
    def identity_wait_us(self) -> int:
        """See :attr:`rppam.cluster.consensus.effects.Connected.extra_wait_us`."""
        return REPOINTED_WITHIN_MS * US_PER_MS if self.behind_sentinel else 0

    @property
    def safety_level(self) -> SafetyLevel:
        """What leadership rests on."""
        return SafetyLevel.REPLICATED if self.behind_sentinel else SafetyLevel.SINGLE

    @property
    def password_mark(self) -> str | None:
        """See :attr:`PasswordFile.mark`; ``None`` also where the password stands in no file."""
        return self.password.mark if self.password is not None else None

    async def renew_password(self) -> None:
        """Show Redis the password that the file has now. Never raises."""
        if self.password is not None:
            await self.password.prove(self.link.connection, self.link.options.command_timeout_ms)

    def why_down(self) -> str:
        """Why there is no connection to Redis; empty while there is one, or before the first attempt has failed."""
        failure = self.link.status.failure
        return str(failure) if self.link.connection is None and failure is not None else ""

    def warnings(self) -> tuple[str, ...]:
        """Certificates that end soon, and TLS files that cannot be used."""
        now = self.clock.wall_ms()
        servers = {
            server_certificate_warning(link.connection.target.address, link.connection.certificate, now)
            for link in (self.link, *self.watchers)
            if link.connection is not None
        }
        own = self.tls.warnings() if self.tls is not None else ()
        problem = self.password.problem if self.password is not None else ""
        return (*own, *sorted(sentence for sentence in servers if sentence), *((problem,) if problem else ()))

    def certificates(self) -> tuple[CertificateEnd, ...]:
        """When our client certificate ends, the first authority, and that of each server we are connected to."""
        own = self.tls.client if self.tls is not None else None
        authorities = self.tls.authorities[:1] if self.tls is not None else ()
        live = [link.connection for link in (self.link, *self.watchers) if link.connection is not None]
        ends = {one.target.address: server_certificate_end(one.certificate) for one in live}
        return (
            *((CertificateEnd("redis client", own.not_after),) if own is not None else ()),
            *(CertificateEnd("redis authority", one.not_after) for one in authorities),
            *(CertificateEnd(f"redis server {at}", end) for at, end in sorted(ends.items()) if end is not None),
        )


def redis_parts(settings: Settings, clock: Clock, entropy: Entropy) -> RedisParts | None:
    """Leadership's own link; ``None`` without Redis.

    Raises :class:`~rppam.config.errors.ConfigValueError` for TLS files that cannot be used.
    """
    return _parts_for(settings, clock, entropy, _patient, "lease")


def cache_redis_parts(settings: Settings, clock: Clock, entropy: Entropy) -> RedisParts | None:
    """The link of one process that answers requests, for cache and limits; ``None`` without Redis. Raises likewise.

    It never keeps a process from starting, whatever abortConnect says: requests are answered from SQL meanwhile.
    """
    return _parts_for(settings, clock, entropy, _brisk, "cache")


def _parts_for(
    settings: Settings,
    clock: Clock,
    entropy: Entropy,
    bounded: Callable[[LinkOptions, Settings, str], LinkOptions],
    purpose: str,
) -> RedisParts | None:
    connection = settings.redis.connection
    if not settings.redis.enabled or connection is None:
        return None
    tls = _tls(settings.redis, connection, clock)
    context = tls.load() if tls else None
    options = bounded(LinkOptions.of(connection, ssl=context), settings, purpose)
    password = _password(settings, clock)
    if connection.service_name is None:
        direct = HeldEndpoints(DirectEndpoints(options, tls, password), clock)
        return _parts(Link(options, clock=clock, entropy=entropy, source=direct), tls, direct, (), clock, password)
    source = SentinelEndpoints(
        connection.service_name,
        options,
        bounded(LinkOptions.of_sentinels(connection, ssl=context), settings, "sentinel"),
        clock=clock,
        entropy=entropy,
        tls=tls,
        password=password,
        is_sentinels_too=connection.sentinel_password is None,
    )
    held = HeldEndpoints(source, clock)
    link = Link(options, clock=clock, entropy=entropy, source=held)
    return _parts(link, tls, held, source.watchers, clock, password)


def _parts(
    link: Link,
    tls: TlsFiles | None,
    held: HeldEndpoints,
    watchers: tuple[Link, ...],
    clock: Clock,
    password: PasswordFile | None,
) -> RedisParts:
    if password is not None:
        link.on_up(password.entered)
    return RedisParts(link, tls, watchers, clock, password, held)


def _password(settings: Settings, clock: Clock) -> PasswordFile | None:
    redis = settings.redis
    if redis.password_file is None or redis.password is None:
        return None
    return PasswordFile(redis.password_file, redis.password, clock, _ClusterKey(settings.auth.cluster_key_path))


class _ClusterKey:
    """The cluster key that a file holds now; ``None`` without a usable one. Read again only when the file changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: FileStamp | None = None
        self._key: Secret | None = None

    def __call__(self) -> Secret | None:
        stamp = file_stamp(self._path)
        if stamp != self._stamp:
            try:
                self._key, self._stamp = read_cluster_key(self._path), stamp
            except ClusterKeyUnusable:  # the member link tells what is wrong with it
                self._key, self._stamp = None, None
        return self._key


def _tls(redis: RedisSettings, connection: ConnectionOptions, clock: Clock) -> TlsFiles | None:
    if not connection.ssl:
        return None
    return TlsFiles(
        ca_path=redis.tls_ca_path,
        cert_path=redis.tls_cert_path,
        cert_password=redis.tls_cert_password,
        clock=clock,
    )


def _patient(options: LinkOptions, settings: Settings, purpose: str) -> LinkOptions:
    """The article's limits, but never more patient than the lease can afford."""
    timing = settings.cluster.timing
    return replace(
        _bounded(options, patience.for_leadership(timing)),
        client_name=_name(options, settings, purpose),
        silence_ms=2 * timing.request_timeout_ms,
        reconnect_cap_ms=max(100, timing.lease_ms // 16),
        limits=LEASE,
    )


def _brisk(options: LinkOptions, settings: Settings, purpose: str) -> LinkOptions:
    """The article's limits, but never more patient than somebody who waits for a page."""
    return replace(
        _bounded(options, patience.FOR_REQUESTS),
        client_name=_name(options, settings, purpose),
        silence_ms=2 * patience.REQUEST_COMMAND_MS,
        reconnect_cap_ms=CACHE_RECONNECT_CAP_MS,
        abort_connect=False,
        limits=CACHE,
    )


def _name(options: LinkOptions, settings: Settings, purpose: str) -> str:
    """What CLIENT LIST shows: the name in the connection string, else the node's, and what the connection is for."""
    return f"{options.client_name or f'rppam:{settings.node.node_name}'}:{purpose}"


def _bounded(options: LinkOptions, cap: Patience) -> LinkOptions:
    told = Patience(options.connect_timeout_ms, options.command_timeout_ms).at_most(cap)
    return replace(options, connect_timeout_ms=told.connect_ms, command_timeout_ms=told.command_ms)
