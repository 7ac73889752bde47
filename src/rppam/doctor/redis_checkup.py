"""What a running node finds about the live Redis: the checks of ``rppam doctor`` over a connection of its own.

Decides nothing about a finding; that is done in ``redis_requirements``. While leadership's own connection is down, the
finding is why; otherwise it is what the last check saw. Every check is bounded, and nobody waits for one. What it does
not promise: that a finding is younger than the last check.
"""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from rppam.doctor.diagnosis import failure_finding, needs_glimpse
from rppam.doctor.port_probe import GLIMPSE_S_MAX, glimpse
from rppam.doctor.redis_facts import RedisFacts, SentinelMode
from rppam.doctor.redis_probe import Probe, ask_sentinel, lets_strangers_in
from rppam.doctor.redis_requirements import prefix_findings, sentinel_findings, server_findings
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Finding
from rppam.kernel.secret import REDACTED, Secret
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError
from rppam.redis.link import Link
from rppam.redis.options import Target

BOUND_S: Final = 20.0
_DAY_S: Final = 86_400
_SHORTEST: Final = 4
"""Shorter secrets are not searched for: they would turn ordinary words into stars."""


class RedisCheckup:
    """See the module."""

    def __init__(
        self,
        link: Link,
        watchers: tuple[Link, ...],
        *,
        service_name: str | None,
        prefix: str,
        cluster_id: str,
        patience_ms: int,
        secrets: Iterable[Secret | None],
        clock: Clock,
    ) -> None:
        """``watchers``: one link to each sentinel; ``secrets``: never shown, whatever a server quotes."""
        self._link, self._watchers = link, watchers
        self._service_name = service_name
        self._prefix, self._cluster_id = prefix, cluster_id
        self._patience_ms = patience_ms
        self._secrets = [one.reveal() for one in secrets if one is not None and len(one) >= _SHORTEST]
        self._clock = clock
        self._server: tuple[Finding, ...] = ()
        self._sentinels: tuple[Finding, ...] = ()
        self._failed: tuple[str, Finding] | None = None
        """Why there was no connection, in words, and the finding made of it."""

    def findings(self) -> tuple[Finding, ...]:
        """What is known now."""
        told = {one.code for one in self._sentinels}  # by the sentinels themselves, with each one's words
        server = (one for one in self._of_server() if one.code not in told)
        return tuple(self._clean(one) for one in (*server, *self._sentinels))

    async def check(self) -> None:
        """Look at everything once. Raises nothing; takes :data:`BOUND_S` at most."""
        try:
            async with asyncio.timeout(BOUND_S):
                primary = await self._check_server()
                await self._check_sentinels(primary)
        except TimeoutError:
            return  # what was found before stays; a connection that hangs is told by the link

    def _of_server(self) -> tuple[Finding, ...]:
        failure = self._link.failure
        if self._link.connection is not None or failure is None:
            return self._server
        if self._failed is None or self._failed[0] != str(failure):
            self._failed = str(failure), failure_finding(failure, with_tls=self._with_tls)
        return (self._failed[1],)

    @property
    def _with_tls(self) -> bool:
        return self._link.options.ssl is not None

    async def _second_look(self) -> None:
        """Look at the port with a bare socket where the failure alone leaves several causes open."""
        failure = self._link.failure
        if failure is None or self._service_name is not None or not needs_glimpse(failure, with_tls=self._with_tls):
            return
        for target in self._link.options.targets():
            if target.address in str(failure):
                seen = await glimpse(target, timeout_s=min(target.connect_timeout_ms / 1000, GLIMPSE_S_MAX))
                self._failed = str(failure), failure_finding(failure, with_tls=self._with_tls, glimpse=seen)

    async def _check_server(self) -> RedisFacts | None:
        target = self._link.target
        if target is None:
            self._server = ()
            await self._second_look()
            return None
        try:
            connection = await Connection.open(replace(target, client_name=self._name(target)), clock=self._clock)
        except StoreError as error:
            self._server = (failure_finding(error, with_tls=target.ssl is not None),)
            return None
        try:
            facts, self._server = await self._look(connection)
        except StoreError as error:
            self._server = (failure_finding(error, with_tls=target.ssl is not None),)
            return None
        finally:
            await connection.close()
        return facts

    async def _look(self, connection: Connection) -> tuple[RedisFacts, tuple[Finding, ...]]:
        probe = Probe(connection, self._clock, timeout_ms=self._link.options.command_timeout_ms)
        facts = await probe.server(prefix=self._prefix, is_behind_sentinel=self._service_name is not None)
        facts = replace(facts, anonymous=await lets_strangers_in(connection.target, self._clock))
        until = connection.certificate.get("notAfter")
        if isinstance(until, str):
            left_s = ssl.cert_time_to_seconds(until) - self._clock.wall_ms() / 1000
            shown = f"the certificate of {connection.target.address}, valid until {until}"
            facts = replace(facts, certificate_days_left=left_s / _DAY_S, certificate_shown=shown)
        prefix = await probe.prefix(self._prefix, self._cluster_id)
        return facts, (*server_findings(facts, patience_ms=self._patience_ms), *prefix_findings(prefix))

    async def _check_sentinels(self, primary: RedisFacts | None) -> None:
        if self._service_name is None:
            return
        targets = [target for watcher in self._watchers for target in watcher.options.targets()]
        asked = (
            ask_sentinel(
                replace(target, client_name=self._name(target)),
                self._service_name,
                self._clock,
                timeout_ms=self._link.options.command_timeout_ms,
            )
            for target in targets
        )
        mode = SentinelMode(service_name=self._service_name, sentinels=tuple(await asyncio.gather(*asked)))
        self._sentinels = tuple(sentinel_findings(mode, primary))

    @staticmethod
    def _name(target: Target) -> str:
        return f"{(target.client_name or 'rppam').rpartition(':')[0] or 'rppam'}:checkup"

    def _clean(self, finding: Finding) -> Finding:
        evidence = finding.evidence
        target = self._link.target
        used = [target.password.reveal()] if target is not None and target.password is not None else []
        for secret in (*self._secrets, *used):
            evidence = evidence.replace(secret, REDACTED)
        return finding if evidence == finding.evidence else replace(finding, evidence=evidence)
