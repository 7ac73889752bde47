"""What a running node finds about the live Redis: the checks of ``rppam doctor`` over a connection of its own.

Decides nothing about a finding; that is done in ``redis_pipeline``. While leadership's own connection is down, the
finding is why; otherwise it is what the last check saw. Every check is bounded, and nobody waits for one. What it does
not promise: that a finding is younger than the last check.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from rppam.doctor.diagnosis import failure_finding
from rppam.doctor.port_probe import second_look
from rppam.doctor.redis_facts import RedisFacts
from rppam.doctor.redis_pipeline import RedisPipeline
from rppam.doctor.report import Report
from rppam.kernel.finding import Finding
from rppam.kernel.secret import Secret
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError
from rppam.redis.link import Link
from rppam.redis.options import Target

BOUND_S: Final = 20.0


class RedisCheckup:
    """See the module."""

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
            return  # what was found before stays; a connection that hangs is told by the link

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
                self._failed = str(failure), failure_finding(failure, with_tls=with_tls, glimpse=seen)

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
        self._sentinels = tuple(self._pipeline.sentinels(asked, primary))

    @staticmethod
    def _name(target: Target) -> str:
        return f"{(target.client_name or 'rppam').rpartition(':')[0] or 'rppam'}:checkup"
