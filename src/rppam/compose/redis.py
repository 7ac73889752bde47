"""How a node reaches Redis: the options, the TLS files and the source of addresses that its settings ask for."""

from dataclasses import replace
from typing import Final, NamedTuple

from rppam.adapters.redis.link import Link
from rppam.adapters.redis.options import LinkOptions
from rppam.adapters.redis.sentinel import REPOINTED_WITHIN_MS, SentinelSource
from rppam.adapters.redis.source import DirectSource
from rppam.adapters.redis.tls import TlsFiles, server_certificate_warning
from rppam.config.options import ConnectionOptions
from rppam.config.settings import RedisSettings, Settings
from rppam.domain.health import SafetyLevel
from rppam.domain.instant import US_PER_MS
from rppam.ports.clock import Clock
from rppam.ports.entropy import Entropy

CONFIRMING_REPLICAS: Final = 1
"""Behind Sentinel a write of the record counts once so many replicas have it."""


class RedisParts(NamedTuple):
    """Leadership's way to Redis."""

    link: Link
    tls: TlsFiles | None
    watchers: tuple[Link, ...]
    """One link to each sentinel; none without Sentinel."""
    clock: Clock

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
        """See :attr:`rppam.core.effects.Connected.extra_wait_us`."""
        return REPOINTED_WITHIN_MS * US_PER_MS if self.behind_sentinel else 0

    @property
    def safety_level(self) -> SafetyLevel:
        """What leadership rests on."""
        return SafetyLevel.REPLICATED if self.behind_sentinel else SafetyLevel.SINGLE

    def warnings(self) -> tuple[str, ...]:
        """Certificates that end soon, and TLS files that cannot be used."""
        now = self.clock.wall_ms()
        servers = {
            server_certificate_warning(link.connection.target.address, link.connection.certificate, now)
            for link in (self.link, *self.watchers)
            if link.connection is not None
        }
        own = self.tls.warnings() if self.tls is not None else ()
        return (*own, *sorted(sentence for sentence in servers if sentence))


def redis_parts(settings: Settings, clock: Clock, entropy: Entropy) -> RedisParts | None:
    """Leadership's own link; ``None`` without Redis.

    Raises :class:`~rppam.domain.errors.config.ConfigValueError` for TLS files that cannot be used.
    """
    connection = settings.redis.connection
    if not settings.redis.enabled or connection is None:
        return None
    tls = _tls(settings.redis, connection, clock)
    context = tls.load() if tls else None
    options = _patient(LinkOptions.of(connection, ssl=context), settings, "lease")
    if connection.service_name is None:
        return RedisParts(
            Link(options, clock=clock, entropy=entropy, source=DirectSource(options, tls)), tls, (), clock
        )
    sentinels = _patient(LinkOptions.of_sentinels(connection, ssl=context), settings, "sentinel")
    source = SentinelSource(connection.service_name, options, sentinels, clock=clock, entropy=entropy, tls=tls)
    return RedisParts(Link(options, clock=clock, entropy=entropy, source=source), tls, source.watchers, clock)


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
        options,
        client_name=f"rppam:{settings.node.node_name}:{purpose}",
        connect_timeout_ms=min(options.connect_timeout_ms, max(1_000, timing.lease_ms // 2)),
        command_timeout_ms=min(options.command_timeout_ms, timing.request_timeout_ms),
        silence_ms=2 * timing.request_timeout_ms,
        reconnect_cap_ms=max(100, timing.lease_ms // 16),
    )
