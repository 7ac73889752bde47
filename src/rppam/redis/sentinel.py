"""The primary as the sentinels name it: found through any of them, followed through all of them.

A :class:`SentinelEndpoints` keeps one link to *every* sentinel, subscribed to ``+switch-master``. So the first sentinel
that knows of a failover moves us: what waits on the old primary fails at once, and the new one is connected to without
a pause. The elected sentinel is heard earlier still. From the moment it says which replica it is about to promote, the
old primary is left alone: what it still accepts, even confirmed by another replica, would be lost. Once that replica
has called itself a primary it is connected to, before the other sentinels hear of it. When the connection is lost
without a message, or a sentinel comes back (it may have news that we missed), all sentinels are asked. Their answers
are weighed in :mod:`~rppam.redis.sentinel_rules`; a server must say itself that it is a primary (ROLE), so replicas are
never written.

What it does not promise: that the primary is the only one. A primary that is cut off from its sentinels goes on
answering clients that still reach it; writes that must not be lost wait for a replica (``Link.run_script_replicated``).
Only sentinels of the connection string are asked; none is learned from others.
"""

import asyncio
import logging
from dataclasses import replace
from typing import Any, ClassVar, Final

from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.redis.connection import Connection
from rppam.redis.endpoint_provider import DirectEndpoints, Follower, as_of_now
from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreMoved,
    StoreProtocol,
    StoreReplyError,
    StoreSentinelsSilent,
    StoreServiceUnknown,
)
from rppam.redis.link import Link
from rppam.redis.options import SENTINEL, LinkOptions, Target, address
from rppam.redis.password_file import PasswordFile
from rppam.redis.sentinel_rules import (
    Address,
    Reaction,
    SentinelAnswer,
    Switch,
    fields,
    newest,
    react,
    read_answer,
    read_failover,
    read_switch,
    to_try,
    why_none,
)
from rppam.redis.tls import TlsFiles

_log: Final = logging.getLogger(__name__)

SWITCHES: Final = "+switch-master"
PROMOTIONS: Final = "+failover-state-send-slaveof-noone"
"""Published by the elected sentinel a moment before it promotes a replica."""
PROMOTED: Final = "+promoted-slave"
"""Published by it once the replica has called itself a primary: that failover is not taken back any more, and this
sentinel names the new primary. The others publish ``+switch-master`` when they have heard of it."""
HOLD_S: Final = 3.0
"""How long a primary that is being replaced is left alone. A failover that hangs must not stop everything."""
GRACE_S: Final = 0.25
"""Once one sentinel has answered, the others get this long: a better answer is worth it, a dead sentinel is not."""
KEEP_ALIVE_S: Final = 5.0
"""A sentinel that is silent this long gets a PING, so that a deaf subscription is found out."""
REPOINTED_WITHIN_MS: Final = 2_000
"""How long a replica may go on confirming writes of the old primary after a promotion (leadership, section 3)."""


class SentinelEndpoints:
    """A :class:`~rppam.redis.endpoint_provider.EndpointProvider`. One serves one link."""

    moved_words: ClassVar[tuple[type[StoreReplyError], ...]] = (StoreMoved,)

    def __init__(
        self,
        service: str,
        options: LinkOptions,
        sentinels: LinkOptions,
        *,
        clock: Clock,
        entropy: Entropy,
        tls: TlsFiles | None = None,
        password: PasswordFile | None = None,
        is_sentinels_too: bool = False,
    ) -> None:
        """``options``: how to enter the primary; ``sentinels``: where the sentinels are and how to enter there.

        ``is_sentinels_too``: ``password`` opens the sentinels as well.
        """
        self._service = service
        self._options = options
        self._tls, self._password = tls, password
        self._clock = clock
        self._follower: Follower | None = None
        self._hint: Address | None = None
        """Where a message says the primary is; the next attempt goes there without asking."""
        self._heading: Address | None = None
        """Where a message has sent us last: the other sentinels' messages about the same move are no news."""
        self._held: tuple[Address, float] | None = None
        """A primary that is being replaced, and until when (loop time) it is left alone."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._checking: asyncio.Task[None] | None = None
        self._logged_fault = ""
        self._first: dict[Link, asyncio.Task[None]] = {}
        """The first attempt to reach each sentinel; done, whether it worked or not, it needs no more patience."""
        self.watchers: tuple[Link, ...] = tuple(
            _watcher(
                replace(sentinels, endpoints=(place,)), clock, entropy, tls, password if is_sentinels_too else None
            )
            for place in sentinels.endpoints
        )
        """One link to each sentinel, in the order of the connection string."""

    # --- an EndpointProvider ------------------------------------------------------------------------------------------

    async def start(self, follower: Follower) -> None:
        """Begin to connect to every sentinel at once, in the background."""
        self._follower = follower
        for watcher in self.watchers:
            watcher.on_up(self._came_back)
            await watcher.subscribe(SWITCHES, self._switched)
            await watcher.subscribe(PROMOTIONS, self._being_replaced)
            await watcher.subscribe(PROMOTED, self._promoted)
            self._first[watcher] = self._spawn(watcher.start(), f"sentinel {watcher.options.endpoints[0]}")

    async def stop(self) -> None:
        """Hang up on all of them."""
        self._follower = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(watcher.stop() for watcher in self.watchers))

    async def targets(self) -> tuple[Target, ...]:
        """See the protocol. Raises StoreSentinelsSilent or StoreServiceUnknown, each with the sentinels' answers."""
        hint, self._hint = self._hint, None
        self._heading = hint
        places = (hint,) if hint is not None else await self._discover()
        return await as_of_now(tuple(self._options.target(*place) for place in places), self._tls, self._password)

    # --- news ---------------------------------------------------------------------------------------------------------

    def _switched(self, payload: bytes) -> None:
        """A sentinel says that the primary moved."""
        switch = read_switch(payload)
        if switch is None or switch.service != self._service or self._is_held(switch.now):
            return  # a sentinel that only now ends the former failover names one that is being replaced already
        if self._held is not None and self._held[0] == switch.before:
            self._held = None
        self._react(switch)

    def _being_replaced(self, payload: bytes) -> None:
        """A majority elected a sentinel to replace the primary, and it is about to promote a replica."""
        told, follower = read_failover(payload), self._follower
        if told is None or told.service != self._service or follower is None:
            return
        self._hold(told.before)
        if follower.target is not None and (follower.target.host, follower.target.port) == told.before:
            why = f"the sentinels are replacing {address(*told.before)} as the primary of '{self._service}'"
            _log.warning("%s", why)
            follower.moved(why)

    def _promoted(self, payload: bytes) -> None:
        """The replica is a primary now. The former one is left alone until all sentinels may know of it."""
        told = read_failover(payload)
        if told is None or told.service != self._service:
            return
        self._hold(told.before)
        self._react(told)

    def _react(self, switch: Switch) -> None:
        follower = self._follower
        if follower is None:
            return
        target = follower.target
        match react(switch, self._service, (target.host, target.port) if target else self._heading):
            case Reaction.MOVE:
                self._hint = self._heading = switch.now
                why = f"the sentinels moved '{self._service}' from {address(*switch.before)} to {address(*switch.now)}"
                _log.warning("%s", why)
                follower.moved(why)
            case Reaction.ASK:
                self._check_soon()
            case Reaction.IGNORE:
                pass

    def _hold(self, place: Address) -> None:
        self._held = (place, asyncio.get_running_loop().time() + HOLD_S)

    def _came_back(self, _connection: Connection) -> None:
        """A sentinel is there again; what it published meanwhile was not heard."""
        if self._follower is not None and self._follower.target is not None:
            self._check_soon()

    def _check_soon(self) -> None:
        if self._checking is None or self._checking.done():
            self._checking = self._spawn(self._check(), "sentinel check")

    async def _check(self) -> None:
        """Leave the present primary when a newer failover made another one, which says so itself."""
        answers, _ = await self._ask_all()
        follower = self._follower
        target = follower.target if follower else None
        better = newest(answers)
        if follower is None or target is None or not better or (target.host, target.port) in better:
            return
        for place in better:
            if not await self._is_primary(place):
                continue  # one sentinel may be wrong for good; it does not cost a working connection
            self._hint = self._heading = place
            why = f"the sentinels name {address(*place)} as the primary of '{self._service}', not {target.address}"
            _log.warning("%s", why)
            follower.moved(why)
            return

    async def _is_primary(self, place: Address) -> bool:
        try:
            target, *_ = await as_of_now((self._options.target(*place),), self._tls, self._password)
            connection = await Connection.open(target, clock=self._clock)
        except StoreError:
            return False
        await connection.close()
        return True

    # --- asking -------------------------------------------------------------------------------------------------------

    async def _discover(self) -> tuple[Address, ...]:
        answers, failures = await self._ask_all()
        found = to_try(answers, len(self.watchers))
        free = tuple(place for place in found if not self._is_held(place))
        if free:
            return free
        if found:
            raise StoreDown(f"the sentinels are replacing {address(*found[0])} as the primary of '{self._service}'")
        if answers:
            silent = "".join(f"; {failure}" for failure in failures)
            raise StoreServiceUnknown(why_none(self._service, answers) + silent)
        raise StoreSentinelsSilent(
            f"no sentinel could be asked where '{self._service}' is: {'; '.join(failures)}. "
            f"{StoreSentinelsSilent.row.remedy}"
        )

    def _is_held(self, place: Address) -> bool:
        return self._held is not None and self._held[0] == place and asyncio.get_running_loop().time() < self._held[1]

    async def _ask_all(self) -> tuple[list[SentinelAnswer], list[str]]:
        """All answers that come in time, and a sentence for each sentinel that gave none."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.connect_timeout_ms / 1000
        asking = {asyncio.create_task(self._ask(watcher)): watcher for watcher in self.watchers}
        waiting: set[asyncio.Task[SentinelAnswer]] = set(asking)
        try:
            while waiting and (left_s := until - loop.time()) > 0:
                done, waiting = await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                if any(task.exception() is None for task in done):
                    until = min(until, loop.time() + GRACE_S)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        answers: list[SentinelAnswer] = []
        failures: list[str] = []
        for task, watcher in asking.items():
            error = None if task.cancelled() else task.exception()
            if not task.cancelled() and error is None:
                answers.append(task.result())
                continue
            if error is not None and not isinstance(error, StoreError):
                self._unforeseen(watcher, error)
            failures.append(
                f"{address(*watcher.options.endpoints[0])}: {error or watcher.status.reason or 'no answer'}"
            )
        return answers, failures

    def _unforeseen(self, watcher: Link, error: BaseException) -> None:
        """A fault of ours in asking one sentinel: logged whole, once, and the others are heard all the same."""
        said = f"{address(*watcher.options.endpoints[0])}: {error!r}"
        if said != self._logged_fault:
            self._logged_fault = said
            _log.error("a fault of this node in asking the sentinel at %s", said, exc_info=error)

    async def _ask(self, watcher: Link) -> SentinelAnswer:
        """One sentinel's answer. Raises StoreError."""
        place = address(*watcher.options.endpoints[0])
        first = self._first.get(watcher)
        if first is not None and not first.done():
            await asyncio.wait([first], timeout=self._options.connect_timeout_ms / 1000)
        if not await watcher.wait_up(round(GRACE_S * 1000)):
            raise StoreSentinelsSilent(watcher.status.reason)
        connection = watcher.connection
        if connection is not None and connection.identity.mode != "sentinel":
            raise StoreProtocol(
                "it is a Redis, not a Sentinel; with serviceName the endpoints are sentinels (port 26379)"
            )
        both = [
            watcher.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service),
            watcher.command("SENTINEL", "MASTER", self._service),
        ]
        where, master = await asyncio.gather(*both, return_exceptions=True)
        if isinstance(where, BaseException):
            raise where
        if isinstance(master, BaseException) and not isinstance(master, StoreReplyError):
            raise master
        answer = read_answer(place, where, master)
        return answer if answer.primary is not None else answer._replace(names=await self._names(watcher))

    async def _names(self, watcher: Link) -> tuple[str, ...]:
        try:
            masters = await watcher.command("SENTINEL", "MASTERS")
        except StoreReplyError:
            return ()
        found = [fields(master).get("name", "") for master in masters] if isinstance(masters, list) else []
        return tuple(name for name in found if name)

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("'%s' failed", task.get_name(), exc_info=error)


def _watcher(
    options: LinkOptions, clock: Clock, entropy: Entropy, tls: TlsFiles | None, password: PasswordFile | None
) -> Link:
    keep_alive_s = min(options.keep_alive_s or KEEP_ALIVE_S, KEEP_ALIVE_S)
    known = replace(options, keep_alive_s=keep_alive_s, abort_connect=False, require_primary=False, limits=SENTINEL)
    return Link(known, clock=clock, entropy=entropy, source=DirectEndpoints(known, tls, password), peer="a sentinel")
