"""The one check of Redis: facts are collected over a connection, rules weigh them, findings come out.

``rppam doctor`` and a running node find their way to Redis each on its own, and hand the connection over here, so both
find the same. Facts are in ``redis_facts``, questions in ``redis_probe``, rules in ``redis_requirements``.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rppam.config.settings import Settings
from rppam.doctor.diagnosis import failure_finding
from rppam.doctor.redis_facts import RedisFacts, SentinelFacts, SentinelMode
from rppam.doctor.redis_probe import Probe, ask_sentinel, lets_strangers_in
from rppam.doctor.redis_requirements import prefix_findings, sentinel_findings, server_findings
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Finding
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError
from rppam.redis.options import Target

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPipeline:
    """What is asked of a Redis set-up, and by which measure it is weighed."""

    prefix: str
    cluster_id: str
    service_name: str | None
    patience_ms: int
    """How long a node waits for an answer of Redis."""
    timeout_ms: int
    """For each question."""
    clock: Clock

    @classmethod
    def of(cls, settings: Settings, clock: Clock, *, timeout_ms: int) -> "RedisPipeline":
        said = settings.redis.connection
        return cls(
            prefix=settings.redis.key_prefix,
            cluster_id=settings.cluster.cluster_id,
            service_name=None if said is None else said.service_name,
            patience_ms=settings.cluster.timing.request_timeout_ms,
            timeout_ms=timeout_ms,
            clock=clock,
        )

    def probe(self, connection: Connection) -> Probe:
        return Probe(connection, self.clock, timeout_ms=self.timeout_ms)

    async def server(self, connection: Connection) -> tuple[RedisFacts | None, list[Finding]]:
        """The server and the prefix on it. A connection that is lost meanwhile is a finding, too."""
        facts: RedisFacts | None = None
        found: list[Finding] = []
        probe = self.probe(connection)
        try:
            facts = await self._facts(connection, probe)
            found += server_findings(facts, patience_ms=self.patience_ms)
            found += prefix_findings(await probe.prefix(self.prefix, self.cluster_id))
        except StoreError as error:
            found.append(failure_finding(error, with_tls=connection.target.ssl is not None))
        return facts, found

    async def ask_sentinels(self, targets: Iterable[Target]) -> tuple[SentinelFacts, ...]:
        """What each sentinel knows, asked at once; none where Redis is named directly."""
        service = self.service_name
        if service is None:
            return ()
        asked = (ask_sentinel(target, service, self.clock, timeout_ms=self.timeout_ms) for target in targets)
        return tuple(await asyncio.gather(*asked))

    def sentinels(
        self,
        asked: tuple[SentinelFacts, ...],
        primary: RedisFacts | None,
        replicas: Sequence[RedisFacts] = (),
        conf: tuple[bool | None, str] = (None, ""),
    ) -> list[Finding]:
        """The Sentinel set-up. ``conf``: whether a sentinel.conf tells the new name of CONFIG, and its path."""
        if self.service_name is None or not asked:
            return []
        mode = SentinelMode(
            service_name=self.service_name, sentinels=asked, config_name_told=conf[0], sentinel_conf=conf[1]
        )
        return sentinel_findings(mode, primary, replicas)

    async def _facts(self, connection: Connection, probe: Probe) -> RedisFacts:
        facts = await probe.server(prefix=self.prefix, is_behind_sentinel=self.service_name is not None)
        facts = replace(facts, anonymous=await lets_strangers_in(connection.target, self.clock))
        until = connection.certificate.get("notAfter")
        if not isinstance(until, str):
            return facts
        left_s = ssl.cert_time_to_seconds(until) - self.clock.wall_ms() / 1000
        shown = f"the certificate of {connection.target.address}, valid until {until}"
        return replace(facts, certificate_days_left=left_s / _DAY_S, certificate_shown=shown)
