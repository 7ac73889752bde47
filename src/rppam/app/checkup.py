"""What a running node checks by itself: its Redis password every second, its disks every 15 s, the rest every minute.

It looks over a connection of its own, one question after the other, in the background: nothing that it waits for is
waited for by leadership, and a check that hangs is given up. Its findings are those of ``rppam doctor``, with the same
codes, and each is logged when it comes and when it goes. What it does not check: what only somebody on this host can
see (files, ports, the container of Redis).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from rppam.app.redis import RedisParts
from rppam.cluster.consensus.membership import Membership
from rppam.cluster.health.disk_room import RoomWatch
from rppam.cluster.health.model import DiskRoom
from rppam.config.settings import Settings
from rppam.crypto.certificate_expiry import CertificateEnd
from rppam.db.errors import DatabaseError
from rppam.doctor.disks import room_watch_of
from rppam.doctor.member_rules import VoteFacts, policy_findings
from rppam.doctor.redis_checkup import RedisCheckup, RedisPipeline
from rppam.doctor.redis_requirements import MANY_SESSIONS, with_many_sessions
from rppam.http.served_certificate import ServedCertificate
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Finding, Severity

log: Final = logging.getLogger("rppam.node")

EVERY_S: Final = 60.0
SOONEST_S: Final = 3.0
"""A node whose connection comes and goes does not check without end."""
LOOK_S: Final = 1.0
"""How often it is seen whether something happened that asks for a check before its time."""


class Checkup:
    """See the module. Run it in the node's loop, and cancel it when the node stops."""

    def __init__(
        self,
        certificate: ServedCertificate | None,
        redis: RedisCheckup | None,
        votes: Callable[[], VoteFacts | None],
        told: Callable[[], object],
        renew: Callable[[], Awaitable[None]],
        sessions: Callable[[int], Awaitable[int]],
        disks: RoomWatch | None = None,
    ) -> None:
        """``certificate``: what the API shows; ``None`` for plain HTTP. ``votes``: how members vote, where they do.

        ``told``: what the node knows of its store; a check is made when it changes, and none while it is
        ``None``. ``renew``: done every second. ``sessions``: how many are active, counted up to a number.
        ``disks``: what is left on them.
        """
        self._disks = disks
        self._certificate, self._redis = certificate, redis
        self._votes, self._told, self._renew, self._sessions = votes, told, renew, sessions
        self._many_sessions = False
        self._logged: dict[str, Finding] = {}

    def warnings(self) -> tuple[str, ...]:
        """What should be put right and is no finding about Redis, in sentences."""
        return () if self._certificate is None else self._certificate.warnings()

    def certificates(self) -> tuple[CertificateEnd, ...]:
        """When the API's certificate ends."""
        return () if self._certificate is None else (CertificateEnd("api", self._certificate.not_after),)

    def findings(self) -> tuple[Finding, ...]:
        """What was found. Takes no time."""
        rooms = () if self._disks is None else self._disks.findings()
        if self._redis is None:
            return rooms
        votes, found = self._votes(), self._redis.findings()
        if self._many_sessions:
            found = tuple(with_many_sessions(one) for one in found)
        return (*found, *(policy_findings(votes) if votes is not None else ()), *rooms)

    def rooms(self) -> tuple[DiskRoom, ...]:
        """What is left on the disks that this node writes to."""
        return () if self._disks is None else self._disks.rooms

    async def run(self) -> None:
        """Check for ever."""
        loop = asyncio.get_running_loop()
        checked, seen = -EVERY_S, self._told()
        while True:
            now, since_s = self._told(), loop.time() - checked
            if now is not None and (since_s >= EVERY_S or (now != seen and since_s >= SOONEST_S)):
                checked, seen = loop.time(), now
                await self._check()
            if self._disks is not None:
                self._disks.look()
            self._log_changes()
            await self._renew()
            await asyncio.sleep(LOOK_S)

    async def _check(self) -> None:
        if self._certificate is not None:
            await self._certificate.look()
        if self._redis is None:
            return
        with suppress(DatabaseError):  # what was known before stays
            self._many_sessions = await self._sessions(MANY_SESSIONS) >= MANY_SESSIONS
        try:
            await self._redis.check()
        except Exception:
            # Whatever a strange server answered to a question of a check: the node leads on without the answer.
            log.exception("a check of Redis failed; leadership does not depend on it")

    def _log_changes(self) -> None:
        """Each finding once when it comes, and once when it is gone."""
        found = {one.code: one for one in self.findings() if one.severity is not Severity.NOTE}
        for code, one in found.items():
            if code not in self._logged:
                log.warning("%s %s: %s Seen: %s. Fix: %s", code, one.severity.value, one.what, one.evidence, one.advice)
        for code in self._logged.keys() - found.keys():
            log.info("%s is no longer found", code)
        self._logged = found


def checkup_of(
    settings: Settings,
    redis: RedisParts | None,
    clock: Clock,
    membership: Callable[[], Membership | None],
    told: Callable[[], object],
    sessions: Callable[[int], Awaitable[int]],
) -> Checkup:
    """The checks that these settings ask for. Raises ConfigValueError for a certificate that cannot be used."""
    certificate = ServedCertificate.of(settings.api, clock)
    said, disks = settings.redis.connection, room_watch_of(settings, clock)
    if redis is None or said is None:
        return Checkup(certificate, None, lambda: None, told, _nothing, sessions, disks)
    pipeline = RedisPipeline.of(settings, clock, timeout_ms=redis.link.options.command_timeout_ms)
    secrets = (said.password, said.sentinel_password, settings.redis.tls_cert_password)
    checks = RedisCheckup(redis.link, redis.watchers, pipeline, secrets)

    def votes() -> VoteFacts | None:
        found = membership()
        if found is None:
            return None
        return VoteFacts(
            node=settings.node.node_name,
            runs=True,
            membership=found,
            policy=settings.cluster.quorum_policy,
            is_policy_given="cluster.quorumPolicy" in settings.given,
            is_behind_sentinel=redis.behind_sentinel,
        )

    def seen() -> object:
        connection = redis.link.connection
        if connection is None and redis.link.status.failure is None:
            return None  # the first attempt is under way
        return told(), str(redis.link.status.failure) if connection is None else connection.number

    return Checkup(certificate, checks, votes, seen, redis.renew_password, sessions, disks)


async def _nothing() -> None:
    pass
