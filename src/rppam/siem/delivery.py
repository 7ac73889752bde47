"""Delivery: the leader sends the ledger to each target, at least once, in order, and skips nothing.

Each target has a loop of its own, so one that is slow or away holds up no other. Events wait for others until there are
``batchSize`` of them or ``flushSeconds`` are over, and go in as many requests as their bytes ask for. A batch that was
refused is sent again, after a pause that grows, and with fewer events where the target was too slow for so many; the
cursor moves behind what has arrived for certain, and the next leader goes on at the cursor. What had to be sent without
its details is recorded when the cursor moves behind it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from rppam.cluster.driver.leader_tasks import LoopTask
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.http.errors import FencedError
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.ledger.model import Event
from rppam.ledger.store import Query, SqlLedger
from rppam.siem.bounds import Shortened, Taken
from rppam.siem.errors import DeliveryFailed, TargetSlow
from rppam.siem.model import Target, TargetKind
from rppam.siem.senders import Sender, sender_of
from rppam.siem.store import SqlTargets

log: Final = logging.getLogger("rppam.siem")

LOOK_EVERY_S: Final = 0.5
RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
SETTLE_EVERY_S: Final = 1.0
AHEAD: Final = 5_000
"""So many events more are noted as sent with those that are: one write for all of them."""


class _Way(NamedTuple):
    """One loop's way to its target."""

    authority: Authority
    target: Target
    sender: Sender
    shortened: list[Shortened]
    """What was sent without its details, and has not arrived for certain yet."""


class Delivery(LoopTask):
    """See the module."""

    def __init__(self, database: Database, targets: SqlTargets, clock: Clock, node: str, boot_id: str) -> None:
        super().__init__("the delivery to SIEM targets")
        self._ledger, self._targets, self._clock = SqlLedger(database), targets, clock
        self._node, self._boot_id = node, boot_id
        self._due: dict[str, int] = {}
        """By target: events before this index have waited for others long enough."""
        self._most: dict[str, int] = {}
        """By target: events that it takes in the time that a request has, where those were fewer than a batch."""

    async def run(self, epoch: int) -> None:
        """One loop for each enabled target, begun anew when it was changed."""
        authority = Authority(epoch, self._boot_id)
        loops: dict[tuple[str, int], asyncio.Task[None]] = {}
        try:
            while True:
                try:
                    wanted = {(one.id, one.revision) for one in await self._targets.all() if one.enabled}
                except DatabaseError as error:
                    log.debug("SIEM targets are read another time: %s", error)
                except Exception as error:  # such as a kind that a newer release has written
                    if not self.trouble:
                        log.exception("the SIEM targets cannot be read")
                    self.trouble = f"the SIEM targets cannot be read ({type(error).__name__}); see the leader's log"
                else:
                    self.trouble = ""
                    for key in [key for key in loops if key not in wanted or loops[key].done()]:
                        loops.pop(key).cancel()
                    for key in wanted - set(loops):
                        loops[key] = asyncio.create_task(self._deliver(authority, key[0]), name=f"siem {key[0]}")
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in loops.values():
                task.cancel()
            await asyncio.gather(*loops.values(), return_exceptions=True)

    async def _deliver(self, authority: Authority, ident: str) -> None:
        tries, name = 0, ident
        while True:
            try:
                target = await self._targets.opened(ident)
                name = target.name
                sender = sender_of(target, self._clock)
                try:
                    way, stored = _Way(authority, target, sender, []), target.cursor
                    async for position in self._sent(way):
                        stored = await self._settle(way, position, stored)
                        tries = 0 if stored > target.cursor else tries
                finally:
                    await sender.close()
            except FencedError:
                return
            except DatabaseError as error:
                log.debug("the delivery to %s waits for the database: %s", name, error)
            except RppamError as error:
                if tries == 0:
                    log.warning("SIEM target %s: %s", name, error)
                await self._note(ident, str(error))
            except Exception as error:
                log.exception("the delivery to the SIEM target %s failed", name)
                await self._note(ident, f"{type(error).__name__}; the log of the node that leads says more")
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    async def _sent(self, way: _Way) -> AsyncIterator[int]:
        """Send batch after batch, for ever; yields whenever something may have become certain.

        Raises DeliveryFailed.
        """
        target = way.target
        position, options, reached = target.cursor, target.options, target.reached
        waited_s = 0.0
        while True:
            most = min(options.batch_size, self._most.get(target.id, options.batch_size))
            batch = await self._ledger.events(Query(after=position - 1, limit=most, placed=True))
            is_due = len(batch) >= most or waited_s >= options.flush_seconds
            if batch and (is_due or position < self._due.get(target.id, 0)):
                last = batch[-1].index
                assert last is not None  # only those with a place were asked for; pruned ones are left out
                self._due[target.id] = last + 1
                if target.kind is TargetKind.SYSLOG and last >= reached:
                    reached = await self._reach(way.authority, target, last)
                waiting = documents(batch)
                while waiting:
                    taken = await self._take(way, waiting)
                    way.shortened.extend(taken.shortened)
                    position, waiting = waiting[taken.events - 1]["index"] + 1, waiting[taken.events :]
                    yield position
                waited_s = 0.0
                continue
            pause = min(SETTLE_EVERY_S, max(0.05, options.flush_seconds - waited_s) if batch else SETTLE_EVERY_S)
            await asyncio.sleep(pause)
            waited_s = waited_s + pause if batch else 0.0
            yield position

    async def _take(self, way: _Way, waiting: Sequence[dict[str, Any]]) -> Taken:
        """Send them. After a target was too slow for so many, half as many are tried, and a few more each time that it
        was not: each try that takes too long costs its whole time."""
        ident = way.target.id
        try:
            taken = await way.sender.send(waiting)
        except TargetSlow:
            self._most[ident] = max(1, len(waiting) // 2)
            raise
        if ident in self._most:
            self._most[ident] += max(1, self._most[ident] // 8)
            if self._most[ident] >= way.target.options.batch_size:
                del self._most[ident]
        return taken

    async def _reach(self, authority: Authority, target: Target, last: int) -> int:
        """Note what is about to be sent, so that whoever sends it again marks it; never what does not exist yet."""
        newest = await self._ledger.newest()
        reached = min(last + 1 + AHEAD, max(last + 1, newest.size if newest is not None else 0))
        await self._targets.reach(authority, self._node, target.id, reached)
        return reached

    async def _settle(self, way: _Way, position: int, stored: int) -> int:
        """Store how far the delivery is certain; the cursor that is stored then."""
        proven = way.sender.proven()
        certain = position if proven is None else proven + 1
        if certain > stored:
            over = [one for one in way.shortened if one.place < certain]
            await self._targets.delivered(way.authority, self._node, way.target.id, certain, over)
            for one in over:
                said = "SIEM target %s got event %d (%s) without its details: it has %d bytes with them"
                log.warning(said, way.target.name, one.place, one.id, one.bytes)
                way.shortened.remove(one)
        return max(certain, stored)

    async def _note(self, ident: str, problem: str) -> None:
        try:
            await self._targets.failed(ident, problem)
        except DatabaseError as error:
            log.debug("that SIEM target %s failed is written another time: %s", ident, error)


def documents(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Events as senders take them."""
    return [event.document() for event in events]


async def send_test(target: Target, clock: Clock, event: dict[str, Any]) -> None:
    """Send one event that stands in no ledger. Raises :class:`DeliveryFailed`."""
    sender = sender_of(target, clock)
    try:
        await sender.send([event])
    except RppamError:
        raise
    except Exception as error:
        raise DeliveryFailed(f"{type(error).__name__}: {error}") from error
    finally:
        await sender.close()
