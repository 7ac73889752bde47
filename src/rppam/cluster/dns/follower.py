"""Has the name point to this host while this node leads, and sees beforehand whether it could.

The leader reads what the name server has, writes what differs, and looks again every few seconds: what somebody changed
is put right. What fails is told and tried again, first soon, then every half minute. A node that stops leading deletes
nothing: the name goes on pointing to it until the next leader has written its own (:mod:`rppam.cluster.dns.model` says
why it cannot be the other way round). A node that does not lead asks now and then for an update that changes nothing,
so that a wrong key or a missing right is known before it counts; and it reads the name every few seconds, so that each
node can show where it points (:mod:`rppam.cluster.dns.shown`).

What it does not promise: leadership that waits for the name, or that others see a change at once; they may remember
the addresses for the time to live.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final

from rppam.cluster.dns.errors import DnsError, NameServerFailed, NameTaken, NoNameServer, NoOwnAddress
from rppam.cluster.dns.model import Address, DnsName, Mark, Seen, why_not
from rppam.cluster.dns.server import NameServer, TsigKey
from rppam.cluster.dns.shown import view_of
from rppam.cluster.driver.leader_tasks import LoopTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.model import GaugeView, NameView
from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.kernel.errors import RppamError
from rppam.kernel.network import LOOKUPS

log: Final = logging.getLogger("rppam.node")

ANSWER_S: Final = 5.0
"""For all questions of one round."""
LOOK_EVERY_S: Final = 10.0
"""What somebody else changed is put right after this long."""
AGAIN_S: Final = 0.5
"""After the first failure; twice as long after each further one."""
AGAIN_S_MAX: Final = 30.0
TRY_EVERY_S: Final = 60.0
READ_EVERY_S: Final = 4.0
"""So often a node that does not lead reads the name, to show it."""
UNREAD_MAX: Final = 1
"""So many of these readings in a row may fail before it is told."""
TRIES: Final = 3
"""So often a round begins anew where somebody else wrote between its reading and its writing."""
PATIENCE_S: Final = 5.0
"""A name server that starts anew is nobody's business while the name is right."""
WATCH_EVERY_S: Final = 2.0
_MEANING: Final = "1 while this node leads and the name server has the name of the cluster point to it."


class NameKeeper:
    """One name, seen from one node."""

    def __init__(
        self,
        name: DnsName,
        key: Callable[[], TsigKey],
        own: Callable[[int], Mark],
        addresses: tuple[Address, ...],
        may_act: Callable[[], bool],
        wall_ms: Callable[[], int],
    ) -> None:
        """``key``: as of now. ``own``: the mark for an epoch. ``addresses``: none: the one that the server is reached
        from. ``may_act``: whether leadership is permitted at this moment. ``wall_ms``: this host's time."""
        self.name = name
        self.seen: Seen | None = None
        """What the name server had when it was last read; ``None``: not read yet."""
        self.read_ms = 0
        """When that was."""
        self._wall_ms = wall_ms
        self._key, self._own, self._addresses, self._may_act = key, own, addresses, may_act

    async def put(self, epoch: int) -> tuple[Address, ...]:
        """Have the name point here; return the addresses if that was new. Raises DnsError."""
        mark = self._own(epoch)._replace(since_ms=self._wall_ms())
        addresses = await self._own_addresses()
        async with _Limit(self.name), NameServer(self.name, await asyncio.to_thread(self._key)) as server:
            seen = await self._read(server)
            for _ in range(TRIES):
                if seen.is_as(self.name, mark, addresses):
                    return ()
                self._allow(seen, mark)
                if not self._may_act():
                    return ()  # the next round, if there is one, knows more
                if await server.put(mark, addresses, seen.marks):
                    self._keep(Seen((mark.text,), addresses, frozenset((self.name.ttl_s,))))
                    return tuple(sorted(addresses, key=str))
                seen = await self._read(server)
        raise NameTaken(f"{self.name.name}: somebody else writes it again and again. {NameTaken.row.remedy}")

    async def try_out(self) -> None:
        """See whether the name server would take an update. Raises DnsError."""
        await self._own_addresses()
        async with _Limit(self.name), NameServer(self.name, await asyncio.to_thread(self._key)) as server:
            seen = await self._read(server)
            await server.try_out()
        self._allow(seen, self._own(_HIGHEST))

    async def look(self) -> None:
        """Read what the name server has. Raises DnsError."""
        async with _Limit(self.name), NameServer(self.name, await asyncio.to_thread(self._key)) as server:
            await self._read(server)

    async def _read(self, server: NameServer) -> Seen:
        return self._keep(await server.seen())

    def _keep(self, seen: Seen) -> Seen:
        self.seen, self.read_ms = seen, self._wall_ms()
        return seen

    def _allow(self, seen: Seen, mark: Mark) -> None:
        foreign = why_not(seen.marks, mark)
        if foreign:
            raise NameTaken(f"{self.name.name}: {foreign}. {NameTaken.row.remedy}")

    async def _own_addresses(self) -> frozenset[Address]:
        return frozenset(self._addresses or [await self._own_address()])

    async def _own_address(self) -> Address:
        """The address from which this host reaches the name server."""
        problem = "this host has none"
        with suppress(OSError, UnicodeError):
            async with asyncio.timeout(ANSWER_S):
                for family, place in await LOOKUPS.places(self.name.server, self.name.port):
                    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as plug:
                        plug.connect(place)  # sends nothing; the system chooses an address
                        found = ip_address(str(plug.getsockname()[0]).partition("%")[0])
                        if not found.is_loopback:
                            return found
                        problem = f"it is reached from {found}, where no other host reaches this one"
        raise NoOwnAddress(f"{self.name.where}: {problem}. {NoOwnAddress.row.remedy}")


_HIGHEST: Final = 2**63
"""Above every epoch: for a node that asks whether it could lead some day."""


class _Limit:
    """What takes longer counts as no answer."""

    def __init__(self, name: DnsName) -> None:
        self._name, self._timeout = name, asyncio.timeout(ANSWER_S)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, None)
        except TimeoutError:
            told = f"{self._name.where}: no answer within {ANSWER_S:g} s. {NoNameServer.row.remedy}"
            raise NoNameServer(told) from None


class NameTask(LoopTask):
    """The leader's part. Implements ``LeaderTask``."""

    def __init__(self, keeper: NameKeeper) -> None:
        super().__init__("the name in DNS")
        self._keeper = keeper
        self.leads = self.is_right = False
        self._told, self._failing_since = "", 0.0

    def start(self, epoch: int) -> None:
        """Begin."""
        self.leads, self.is_right, self._told = True, False, ""
        super().start(epoch)

    async def stop(self) -> None:
        """End. An update that is under way may still be carried out; a later leader's is above it."""
        self.leads = self.is_right = False
        await super().stop()

    async def run(self, epoch: int) -> None:
        """Write it, and keep it so."""
        again_s = AGAIN_S
        while True:
            try:
                await self._round(epoch)
                self._tell("")
                again_s = AGAIN_S
                await asyncio.sleep(LOOK_EVERY_S)
            except DnsError as error:
                self._tell(error)
                await asyncio.sleep(again_s)
                again_s = min(2 * again_s, AGAIN_S_MAX)
            except Exception as error:
                log.exception("%s: a round failed", self.name)
                self._tell(NameServerFailed(f"{self._keeper.name.where}: {type(error).__name__}, see the log"))
                await asyncio.sleep(AGAIN_S_MAX)

    async def _round(self, epoch: int) -> None:
        written = await self._keeper.put(epoch)
        self.is_right = True
        if written:
            name, here = self._keeper.name.name, ", ".join(map(str, written))
            told = noted(HistoryEvent.NAME, epoch=epoch, name=name, addresses=here)
            log.info("the name %s points here now: %s (epoch %d)", name, here, epoch, extra=told)

    def _tell(self, trouble: RppamError | str) -> None:
        now = asyncio.get_running_loop().time()
        if trouble and not self._told:
            self._failing_since = now
        if str(trouble) != self._told:
            if trouble:
                log.error("the name %s does not follow this leader: %s", self._keeper.name.name, trouble)
            else:
                log.info("the name %s follows this leader again", self._keeper.name.name)
        self._told = str(trouble)
        self.is_right = self.is_right and (not trouble or now - self._failing_since < PATIENCE_S)
        self.trouble = "" if self.is_right else trouble


class NameWatch(NodeTask):
    """The part of every node: whether it could write the name, while it does not lead."""

    def __init__(self, keeper: NameKeeper, leading: NameTask) -> None:
        super().__init__("the watch over the name in DNS", WATCH_EVERY_S, self.look, self._numbers)
        self._keeper, self._leading = keeper, leading
        self._found: DnsError | None = None
        self._tried_at = self._read_at = -TRY_EVERY_S
        self._unread = 0

    async def look(self) -> str:
        """Try it out when it is time; a leader's own task says what it finds. Raises DnsError."""
        now = asyncio.get_running_loop().time()
        if self._leading.leads:
            self._found, self._tried_at, self._unread = None, now, 0
        elif now - self._tried_at >= TRY_EVERY_S:
            self._tried_at = self._read_at = now
            try:
                await self._keeper.try_out()
                self._found, self._unread = None, 0
            except DnsError as error:
                self._found = error
        elif now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            await self._read()
        if self._found is not None:
            raise self._found
        return ""

    async def _read(self) -> None:
        try:
            await self._keeper.look()
        except DnsError as error:
            self._unread += 1
            if self._unread > UNREAD_MAX:
                self._found = error
        else:
            self._unread = 0
            if isinstance(self._found, NoNameServer):
                self._found, self._tried_at = None, -TRY_EVERY_S  # it is back: the next look tries it out

    @property
    def wrong(self) -> RppamError | str:
        """What keeps the name from following, or would: as of the part of this node that counts now."""
        return self._leading.trouble or self.trouble

    def shown(self, leader: str | None) -> NameView:
        """What health shows of the name; ``leader`` is who leads as this node sees it."""
        return view_of(self._keeper.name.name, self._keeper.seen, self._keeper.read_ms, self.wrong, leader)

    def _numbers(self) -> tuple[GaugeView, ...]:
        return (GaugeView("rppam_dns_name", _MEANING, float(self._leading.is_right)),)
