"""Has the virtual address on this host while, and only while, this node leads.

A leader task: taken when leadership begins, announced to the network, renewed for no longer than the permission lasts
(in the kernel's whole seconds, rounded down, but never less than one), and dropped before the record is released. Where
it is given away on purpose, what runs through it gets a moment to end, and newcomers are held off meanwhile. What
somebody took away is put back; what is here without right (a former life was killed) goes within a second. Before it
comes, the network is asked whether another host has it; where one has, it is not claimed, and asked for again. What it
does not promise: leadership that waits for the address. Where a host refuses it, health says so, and the node leads all
the same.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from rppam.cluster.history.recorder import HistoryEvent, noted
from rppam.cluster.vip.errors import AddressError, AddressForbidden, AddressInUse, AddressRefused
from rppam.cluster.vip.listeners import Listeners
from rppam.cluster.vip.model import AddressHolder
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant

log: Final = logging.getLogger("rppam.node")

ANNOUNCE_TIMES: Final = 4
"""A single announcement may be lost."""
ANNOUNCE_EVERY_S: Final = 10.0
"""Afterwards: a neighbour that was cut off when the address came must hear of it, too."""
LOOK_EVERY_S: Final = 1.0
EMPTY_YET_EVERY_S: Final = 0.01
GIVEN_AWAY_WITHIN_S: Final = 3.0
"""After so long without an end of leadership newcomers are let in again: whoever wanted to end it did not."""
UNFORESEEN: Final = (
    "the virtual address {address}: expected to {wish} on this host, found: {error!r}. It is tried again: where no "
    "thread can be started, raise the service's limit of tasks (TasksMax)"
)


class _Newcomers:
    """Those who would connect to the address: held off by an order, and let in again where nothing came of it."""

    def __init__(self, listeners: Listeners | None) -> None:
        self.listeners = listeners
        self._timer: asyncio.TimerHandle | None = None

    def let_in(self) -> None:
        self.forget_order()
        if self.listeners is not None:
            self.listeners.let_in()

    def let_in_after(self, seconds: float) -> None:
        self.forget_order()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.let_in)

    def forget_order(self) -> None:
        """Its end is none of an order that comes later, nor of an end of leadership."""
        if self._timer is not None:
            self._timer.cancel()


class AddressTask:
    """Implements ``LeaderTask``."""

    name = "the virtual address"

    def __init__(
        self,
        holder: AddressHolder,
        shown: str,
        permitted_until: Callable[[], Instant | None],
        clock: Clock,
        every_s: float,
        *,
        rounds_up: bool = False,
        listeners: Listeners | None = None,
        quiet_s: float = 0.0,
    ) -> None:
        """``permitted_until``: until when this node may act; ``every_s``: how often the address is renewed.

        ``rounds_up``: leases are so short that less than a second, which is all the host can count, is one.
        ``quiet_s``: for so long at most what runs through the address may end before it is given away.
        """
        self._rounds_up = rounds_up
        self._newcomers, self._quiet_s = _Newcomers(listeners), quiet_s
        self._until: Instant = Instant(0)
        """Until when the last renewal was permitted."""
        self._holder, self._shown, self._every_s = holder, shown, every_s
        self._permitted_until, self._clock = permitted_until, clock
        self.is_held = False
        """Whether it was here when last looked at."""
        self.problem = ""
        """Why it is not here although it should be, or the other way round; empty when all is well."""
        self._leads = False
        self._may_be_here = False
        """Whether a take since the last drop succeeded, or nobody knows whether it did."""
        self._one_at_a_time = threading.Lock()
        self._holding: asyncio.Task[None] | None = None

    def start(self, epoch: int) -> None:
        self._leads = True
        self._newcomers.let_in()
        self._holding = asyncio.get_running_loop().create_task(self._hold(epoch), name="the virtual address")

    async def stop(self) -> None:
        """Drop the address: when this returns it is not here. Raises AddressError when it may be.

        Where nobody could look, it may be: a take that was under way when leadership ended may still put it here.
        """
        self._leads = False
        self._newcomers.forget_order()
        if self._holding is not None:
            self._holding.cancel()
            self._holding = None
        held_off = await self._quieten(self._until, self._quiet_s)
        try:
            await asyncio.to_thread(self._drop)
        except Exception as error:
            self._tell_unforeseen("drop it", error)
            raise AddressRefused(self.problem) from error
        finally:
            if held_off is not None:
                held_off.let_in()
        if self._may_be_here:
            raise AddressRefused(self.problem or f"the virtual address {self._shown} may still be here")

    async def quieten(self, within_s: float) -> None:
        """Let end what runs through the address, while this node leads on; newcomers are held off.

        For whoever ends leadership next, by an order that can wait: what is still to be answered when leadership ends
        gets no longer than the lease leaves to everything of a leader.
        """
        self._newcomers.forget_order()
        if await self._quieten(None, within_s) is not None and self._leads:
            self._newcomers.let_in_after(GIVEN_AWAY_WITHIN_S)

    async def _quieten(self, until: Instant | None, within_s: float) -> Listeners | None:
        """Let end what runs, until then at most: a lease that was lost leaves no time. The one to let in again."""
        listeners, now = self._newcomers.listeners, self._clock.now()
        if listeners is None or not self.is_held or (until is not None and now >= until):
            return None
        end = now + round(within_s * US_PER_S)
        end = end if until is None else min(until, end)
        try:
            listeners.hold_off()
            while self._clock.now() < end and await asyncio.to_thread(listeners.is_awaited):  # noqa: ASYNC110 - no event
                await asyncio.sleep(EMPTY_YET_EVERY_S)
        except Exception as error:  # noqa: BLE001 - told; requests may fail, and the address goes all the same
            log.warning("what runs through the virtual address %s has no time to end: %r", self._shown, error)
        return listeners

    async def watch(self) -> None:
        """Drop what is here without right. Never returns."""
        while True:
            try:
                if not self._leads:
                    await asyncio.to_thread(self._drop)
            except Exception as error:  # noqa: BLE001 - told; this task must not end, or the node ends with it
                self._tell_unforeseen("have it no more", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _hold(self, epoch: int) -> None:
        to_tell, told_at = ANNOUNCE_TIMES, 0.0
        while True:
            try:
                until = self._permitted_until()
                self._until = until or self._until
                if until is not None and await asyncio.to_thread(self._take, until):
                    to_tell = ANNOUNCE_TIMES
                    told = noted(HistoryEvent.ADDRESS, epoch=epoch, here=True)
                    log.info("the virtual address %s is here", self._shown, extra=told)
                now = asyncio.get_running_loop().time()
                if self.is_held and (to_tell or now - told_at >= ANNOUNCE_EVERY_S):
                    to_tell, told_at = max(0, to_tell - 1), now
                    await asyncio.to_thread(self._announce)
            except Exception as error:  # noqa: BLE001 - told; this task must not end, or nobody renews the address
                # It goes by itself unless the next try renews it; until then nobody knows.
                self.is_held, self._may_be_here = False, True
                self._tell_unforeseen("renew it", error)
            await asyncio.sleep(self._every_s)

    # ---- on a thread: the system may take its time ------------------------------------------------------------------

    def _take(self, until: Instant) -> bool:
        """Return whether it is new here."""
        if self._is_elsewhere():
            return False
        with self._one_at_a_time:
            left_us = until - self._clock.now()  # read here: a host under load lets threads wait
            if left_us <= 0:
                return False
            life_s = left_us // US_PER_S
            if not self._leads or (life_s < 1 and self.is_held and not self._rounds_up):
                return False  # stopped meanwhile; or what is left is less than the host can count
            try:
                is_new = self._holder.take(life_s)
            except AddressError as error:
                self._may_be_here |= isinstance(error, AddressRefused)
                self._tell(str(error))
                self.is_held = False
                return False
            self.is_held = self._may_be_here = True
            self._tell("")
            return is_new

    def _is_elsewhere(self) -> bool:
        """Whether another host has it: asked before it comes here, never again while it is."""
        if self.is_held or self._may_be_here:
            return False
        try:
            other = self._holder.claimed_by()
        except AddressForbidden:
            return False  # without the right to ask it is taken as before; the announcement tells of the right
        except AddressError as error:
            self._tell(str(error))
            return True
        if other:
            self._tell(f"{self._shown}: the host {other} has it. {AddressInUse.row.meaning} {AddressInUse.row.remedy}")
        return bool(other)

    def _drop(self) -> None:
        with self._one_at_a_time:
            if self._leads:
                return
            self.is_held = False
            try:
                was_here = self._holder.drop()
            except AddressError as error:
                self._tell(str(error))
                return
            self._may_be_here = False
            self._tell("")
            if was_here:
                told = noted(HistoryEvent.ADDRESS, here=False)
                log.info("the virtual address %s is not here any more", self._shown, extra=told)

    def _announce(self) -> None:
        try:
            self._holder.announce()
        except AddressError as error:
            self._tell(str(error))

    def _tell_unforeseen(self, wish: str, error: Exception) -> None:
        self._tell(UNFORESEEN.format(address=self._shown, wish=wish, error=error))

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.error("%s", problem)
        self.problem = problem
