"""The one check of Redis: facts are collected over a connection, rules judge them, findings come out.

``rppam doctor`` and a running node find their way to Redis each on its own and use the same :class:`RedisPipeline`, so
both find the same. Facts are in ``redis_facts``, questions in ``redis_probe``, rules in ``redis_requirements``.
"""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rppam.config.settings import Settings
from rppam.doctor.diagnosis import failure_finding, second_look
from rppam.doctor.packages import package_of
from rppam.doctor.redis_facts import RedisFacts, SentinelFacts, SentinelMode
from rppam.doctor.redis_probe import Probe, ask_sentinel, lets_strangers_in
from rppam.doctor.redis_requirements import known_holes, prefix_findings, sentinel_findings, server_findings
from rppam.doctor.report import Report
from rppam.doctor.sentinel_conf import told_in
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Finding
from rppam.kernel.secret import Secret
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError
from rppam.redis.link import Link
from rppam.redis.options import Target

BOUND_S: Final = 20.0
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisPipeline:
    """What is asked of a Redis set-up, and by which measure it is judged."""

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
        """The Sentinel set-up. ``conf``: whether a sentinel.conf has the new name of CONFIG, and its path."""
        if self.service_name is None or not asked:
            return []
        mode = SentinelMode(
            service_name=self.service_name, sentinels=asked, config_name_told=conf[0], sentinel_conf=conf[1]
        )
        return sentinel_findings(mode, primary, replicas)

    async def _facts(self, connection: Connection, probe: Probe) -> RedisFacts:
        facts = await probe.server(prefix=self.prefix, is_behind_sentinel=self.service_name is not None)
        facts = replace(facts, anonymous=await lets_strangers_in(connection.target, self.clock))
        if known_holes(facts):
            facts = replace(facts, package=await asyncio.to_thread(package_of, facts.server))
        until = connection.certificate.get("notAfter")
        if not isinstance(until, str):
            return facts
        left_s = ssl.cert_time_to_seconds(until) - self.clock.wall_ms() / 1000
        shown = f"the certificate of {connection.target.address}, valid until {until}"
        return replace(facts, certificate_days_left=left_s / _DAY_S, certificate_shown=shown)


class RedisCheckup:
    """What a running node finds about the live Redis, over a connection of its own.

    While leadership's own connection is down, the finding is why; otherwise it is what the last check saw. Every check
    is bounded, and nothing waits for one.
    """

    def __init__(
        self, link: Link, watchers: tuple[Link, ...], pipeline: RedisPipeline, secrets: Iterable[Secret | None]
    ) -> None:
        """``watchers``: one link to each sentinel; ``secrets``: never shown, whatever a server quotes."""
        self._link, self._watchers, self._pipeline = link, watchers, pipeline
        self._secrets = tuple(secrets)
        self._server: tuple[Finding, ...] = ()
        self._sentinels: tuple[Finding, ...] = ()
        self._failed: tuple[str, Finding] | None = None
        """Why there was no connection, in words, and the finding made of it."""

    def findings(self) -> tuple[Finding, ...]:
        """What is known now."""
        report, target = Report(), self._link.target
        report.hide(*self._secrets, None if target is None else target.password)
        told = {one.code for one in self._sentinels}  # by the sentinels themselves, with each one's words
        report.add(*(one for one in self._of_server() if one.code not in told), *self._sentinels)
        return tuple(report.findings)

    async def check(self) -> None:
        """Look at everything once. Raises nothing; takes :data:`BOUND_S` at most."""
        try:
            async with asyncio.timeout(BOUND_S):
                primary = await self._check_server()
                await self._check_sentinels(primary)
        except TimeoutError:
            return  # what was found before stays; the link reports a connection that hangs

    def _of_server(self) -> tuple[Finding, ...]:
        failure = self._link.status.failure
        if self._link.connection is not None or failure is None:
            return self._server
        if self._failed is None or self._failed[0] != str(failure):
            self._failed = str(failure), failure_finding(failure, with_tls=self._link.options.ssl is not None)
        return (self._failed[1],)

    async def _second_look(self) -> None:
        """Look at the port with a bare socket where the failure alone leaves several causes open."""
        failure = self._link.status.failure
        if failure is None or self._pipeline.service_name is not None:
            return
        for target in self._link.options.targets():
            if target.address in str(failure) and (seen := await second_look(target, failure)) is not None:
                with_tls = target.ssl is not None
                self._failed = str(failure), failure_finding(failure, with_tls=with_tls, seen=seen)

    async def _check_server(self) -> RedisFacts | None:
        target = self._link.target
        if target is None:
            self._server = ()
            await self._second_look()
            return None
        try:
            named = replace(target, client_name=self._name(target))
            connection = await Connection.open(named, clock=self._pipeline.clock)
        except StoreError as error:
            self._server = (failure_finding(error, with_tls=target.ssl is not None),)
            return None
        try:
            facts, found = await self._pipeline.server(connection)
        finally:
            await connection.close()
        self._server = tuple(found)
        return facts

    async def _check_sentinels(self, primary: RedisFacts | None) -> None:
        targets = [target for watcher in self._watchers for target in watcher.options.targets()]
        asked = await self._pipeline.ask_sentinels(
            replace(target, client_name=self._name(target)) for target in targets
        )
        service = self._pipeline.service_name
        told = (None, "") if service is None else await asyncio.to_thread(told_in, None, service)
        self._sentinels = tuple(self._pipeline.sentinels(asked, primary, conf=told))

    @staticmethod
    def _name(target: Target) -> str:
        return f"{(target.client_name or 'rppam').rpartition(':')[0] or 'rppam'}:checkup"
