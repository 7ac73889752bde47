"""A witness: a member that votes and never leads. It has no REST API, no database and no licence seat.

It is a node's leadership part alone: the vote with its file, the link to the other members, and heartbeats in the store
so that everybody sees it. It is one small process, for a third host that may be small too. Nothing of the API or the
database is imported here.
"""

import asyncio
import contextlib
import logging
import socket
from typing import Final

from rppam import __version__
from rppam.app.members import MemberParts, member_address, member_parts, tell_namesake, witness_warnings
from rppam.app.redis import redis_parts
from rppam.app.shared_values import values_of
from rppam.cluster.consensus.admission import Admission
from rppam.cluster.consensus.effects import StandDown
from rppam.cluster.consensus.election import Election
from rppam.cluster.consensus.failure_detector import FailureDetector
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.lease import Identity
from rppam.cluster.consensus.node import NodeCore
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.driver.driver import Driver
from rppam.cluster.driver.leader_tasks import LeaderTasks
from rppam.cluster.driver.strays import asks_to_join
from rppam.cluster.errors import ForeignPrefix, LoopStuck, NameInUse
from rppam.cluster.health.agreement import digests_to_text
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.link.checkpoints import answering
from rppam.cluster.store.hint_files import LIVES_FILE, FormerLives
from rppam.cluster.store.redis_store import RedisLeadershipStore
from rppam.config.errors import ConfigValueError, Problem
from rppam.config.rules import warnings_at_witness, witness_problems
from rppam.config.settings import Settings
from rppam.doctor.disks import room_watch_of
from rppam.kernel.fence import Claimed, Fenced
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.ledger.checkpoint import origin_of
from rppam.ledger.cosigner import Cosigner
from rppam.process.notify import notifier

log: Final = logging.getLogger("rppam.witness")

NO_SEATS: Final = 0
LOOK_S: Final = 1.0


class NoRegister:
    """The epoch register of a member that never stands: it is not asked."""

    async def newest(self, timeout_ms: int) -> Claimed | None:  # noqa: ARG002  # the port's signature
        return None

    async def claim(self, epoch: int, node: str, boot_id: str, timeout_ms: int) -> Fenced:  # noqa: ARG002
        return Fenced.UNKNOWN


class Witness:
    """A running witness. ``await run()`` returns when it was asked to stop, and raises when it may not go on."""

    def __init__(self, settings: Settings) -> None:
        """Call inside the event loop that will run it. Raises the error that keeps it from starting."""
        clock, entropy = SystemClock(), SystemEntropy()
        redis = redis_parts(settings, clock, entropy)
        timing, node, boot_id = settings.cluster.timing, settings.node.node_name, entropy.nonce()
        if redis is None:
            raise ConfigValueError(witness_problems(settings))
        # Held before anything in it is read: a witness that is about to stop may still write its promise file.
        self._data_dir = DataDir(settings.node.data_dir)
        members = member_parts(settings, boot_id, timing, clock, entropy, is_witness=True)
        if members is None:
            raise ConfigValueError(witness_problems(settings) or (_no_key(settings),))
        self._settings = settings
        self._members: MemberParts = members
        self._redis = redis
        self._clock = clock
        self._rooms = room_watch_of(settings, clock, has_database=False)
        self._stop = asyncio.Event()
        self._why = "asked to stop"
        self._foreign: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        lives = FormerLives(settings.node.data_dir / LIVES_FILE, socket.gethostname())
        lives.begin(boot_id)
        core = NodeCore(
            Election(
                Identity(node, boot_id, timing),
                entropy,
                now=clock.now(),
                voter=members.voter,
                seal=members.seal,
                electable=False,
            ),
            FailureDetector(node, timing),
            Admission(node, boot_id, timing, lambda _others: None, lives.has),
            now=clock.now(),
        )
        core.step(StandDown("a witness never stands"), clock.now())
        origin = origin_of(settings.cluster.cluster_id)
        members.link.cosign(answering(Cosigner(settings.node.data_dir, f"{origin}/{node}", clock)))
        store = RedisLeadershipStore(
            redis.link,
            settings.redis.key_prefix,
            settings.cluster.cluster_id,
            node,
            self._refuse,
            replicas=redis.replicas,
            heartbeat_ttl_ms=timing.heartbeat_ttl_ms,
            mac=members.mac,
        )
        self._driver = Driver(
            core,
            store,
            NoRegister(),
            clock,
            LeaderTasks((), _at_once),
            self._heartbeat,
            identity_wait_us=redis.identity_wait_us,
            members=members.ways,
        )

    def stop(self, why: str) -> None:
        """Ask it to stop; :meth:`run` then returns."""
        self._why = why
        self._stop.set()

    async def run(self) -> None:
        """Vote until asked to stop."""
        manager = notifier()
        for warning in (
            *warnings_at_witness(self._settings),
            *witness_warnings(self._settings),
        ):  # a node shows them in its health, which a witness has not
            log.warning("%s", warning)
        try:
            await self._driver.start()
            address = member_address(self._settings)
            manager.ready(f"votes on {address}")
            log.info("witness %s votes on %s", self._settings.node.node_name, address)
            every_s = (manager.alive_every_ms or 1_000) / 1000
            while not self._stop.is_set() and not self._is_over():
                manager.alive()
                await self._redis.renew_password()
                self._rooms.look()
                self._rooms.tell()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(LOOK_S, every_s)):
                        await self._stop.wait()
            await tell_namesake(self._driver, self._members.link)
            self._raise_if_over()
        finally:
            manager.stopping(f"stopping: {self._why}")
            log.info("stopping: %s", self._why, extra=noted(HistoryEvent.STOPPING))
            await self._driver.stop(self._why)
            self._data_dir.close()

    def _is_over(self) -> bool:
        return self._driver.turned.done() or self._driver.broken.done() or self._foreign.done()

    def _raise_if_over(self) -> None:
        if self._driver.turned.done():
            raise NameInUse(self._driver.turned.result().sentence)
        if self._foreign.done():
            raise ForeignPrefix(self._foreign.result())
        if self._driver.broken.done():
            raise LoopStuck(self._driver.broken.result())

    def _refuse(self, sentence: str) -> None:
        if not self._foreign.done():
            self._foreign.set_result(sentence)

    def _heartbeat(self, beat: int, loop_lag_ms: int, renewed_ms_ago: int) -> Heartbeat:
        status = self._driver.core.status()
        return Heartbeat(
            status.me.node,
            status.me.boot_id,
            beat,
            Role.WITNESS,
            status.lease.epochs.led,
            __version__,
            socket.gethostname(),
            "",
            self._clock.wall_ms(),
            loop_lag_ms,
            renewed_ms_ago,
            seats=NO_SEATS,
            admitted=self._driver.admitted.is_set(),
            member_address=member_address(self._settings),
            priority=0,
            joins=asks_to_join(self._driver.core),
            password_mark=self._redis.password_mark or "",
            config=digests_to_text(values_of(self._settings)),
        )


def _no_key(settings: Settings) -> Problem:
    fix = (
        "Copy it from another member, mode 0600, or make this witness's files anew: rppam init --witness --join BUNDLE."
    )
    return Problem("auth.clusterKeyPath", "the cluster key", f"no file {settings.auth.cluster_key_path}", fix)


async def _at_once(work: object) -> None:
    """A witness has no duties; nothing is ever stopped here."""
    raise AssertionError(f"a witness has no duties: {work!r}")
