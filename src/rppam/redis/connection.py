"""One connection to Redis that all tasks share: RESP3, pipelined by itself.

The idea: a command is packed and put in line; once per turn of the event loop everything in line leaves in one write,
and replies are paired with commands in order. So 64 tasks cost two system calls, not 128, and nobody waits for a pool.

What it decides, and promises:

1. A command is sent at most once. Failed before its bytes were handed to the network: StoreUnreachable or
   StoreOverloaded, and it surely did not run; one that is cancelled or late by then never leaves. Failed after:
   StoreUnknown, never a second try.
2. Every command ends by its deadline (within 20 ms on a loop that turns). Its place in the line of replies stays, so
   a reply that comes late, or to a cancelled waiter, is dropped in order and nobody gets a stranger's reply.
3. A connection on which a reply is due and nothing at all arrives for ``silence_ms`` (or the deadline of the oldest
   command, if longer) is given up, and everybody waiting on it is told at once. A single slow command does not cost
   the connection as long as anything arrives: leadership counts a new connection as a fresh wait. Bytes that make no
   whole reply within four times as long are no answer either.
4. If our own loop was stalled, it first reads what has arrived meanwhile, then judges.
5. Memory is bounded by :class:`~rppam.redis.options.Limits`; what a server says is measured before it is
   parsed (:mod:`~rppam.redis.framing`).

What it does not promise: to reconnect (that is :mod:`~rppam.redis.link`), or that a command which ended with
StoreUnknown does not still run later on a server that wakes up. Tests: ``tests/redis``.
"""

import asyncio
import itertools
import math
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple

import hiredis

from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant
from rppam.kernel.listeners import tell
from rppam.redis.command_map import CommandMap
from rppam.redis.connect import dial, explain, reason, too_slow
from rppam.redis.errors import (
    StoreClosed,
    StoreDown,
    StoreError,
    StoreOverloaded,
    StoreReplyError,
    StoreSilent,
    StoreUnknown,
)
from rppam.redis.framing import MORE, Inbox
from rppam.redis.handshake import greet
from rppam.redis.identity import ServerIdentity
from rppam.redis.options import Target
from rppam.redis.replies import garbled, is_push, named, silent

Word = bytes | str | int
"""One word of a command."""

_WRITE_BYTES: Final = 256 * 1024
_SWEEP_S: Final = 0.010  # deadlines are looked at no more often than this
_STALL_S: Final = 0.100  # a timer this late means that our own loop stood still
_CONFIRMATIONS: Final = frozenset((b"subscribe", b"unsubscribe"))
_GARBLED: Final = (hiredis.HiredisError, ArithmeticError, LookupError, MemoryError, SystemError, TypeError, ValueError)
_PATIENCE: Final = 4  # so many times longer for a reply of which parts come


class _Due(NamedTuple):
    """A reply that is owed to somebody."""

    waiter: asyncio.Future[Any]
    deadline: float
    timeout_s: float
    word: Word
    is_subscription: bool = False


class Connection(asyncio.Protocol):
    """See the module. Made by :meth:`open` only."""

    _numbers: ClassVar = itertools.count(1)

    def __init__(
        self,
        target: Target,
        *,
        on_push: Callable[[list[Any]], object] | None,
        on_lost: Callable[[StoreError], object] | None,
    ) -> None:
        self.target = target
        self.number: int = next(Connection._numbers)
        """Grows with each connection that this process makes."""
        self.identity: ServerIdentity
        self.opened_at: Instant
        self.peer: tuple[Any, ...] = ()  # address and port at the other end
        self.lost: StoreError | None = None
        """Why it cannot be used any more; ``None`` while it can."""
        self._on_push = on_push
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._vocabulary = CommandMap(target.command_map)
        self._spellings = self._vocabulary.known
        self._inbox = Inbox(target.address, target.limits)
        self._limits = target.limits
        self._unsent: deque[tuple[bytes, _Due]] = deque()
        self._unsent_bytes = 0
        self._due: deque[_Due] = deque()
        self._flush_planned = False
        # What asyncio still runs in this turn: when that is nothing, nobody can join the line, and waiting for the
        # turn's end would only cost a round of the loop. uvloop does not show it; a round is cheap there.
        self._rest_of_turn = getattr(self._loop, "_ready", None)
        self._paused = False
        self._received_at = self._whole_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._sweep_at = math.inf
        self._swept_at = -math.inf
        self._looks_again = False

    # --- life ---------------------------------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        target: Target,
        *,
        clock: Clock,
        on_push: Callable[[list[Any]], object] | None = None,
        on_lost: Callable[[StoreError], object] | None = None,
    ) -> "Connection":
        """Connect, greet and identify within ``target.connect_timeout_ms``.

        ``on_push`` gets every RESP3 push that is not a confirmation; ``on_lost`` is told once, and only of a loss that
        nobody here asked for. Raises a leaf of StoreUnreachable, or the StoreReplyError that the server greeted with.
        """
        self = cls(target, on_push=on_push, on_lost=None)
        until = self._loop.time() + target.connect_timeout_ms / 1000
        await dial(target, lambda: self)
        try:
            async with asyncio.timeout_at(until):
                self.identity = await greet(self, target)
        except TimeoutError:
            self.abort("no greeting in time")
            raise too_slow(target, self._inbox.partial_bytes) from None
        except (StoreUnknown, StoreDown) as error:
            raise await reason(target, self.lost or error) from None
        except BaseException:
            self.abort("the greeting failed")
            raise
        if self.lost is not None:
            raise self.lost
        self._on_lost = on_lost
        self._inbox.greeted()
        self.opened_at = clock.now()
        return self

    def watch_loss(self, on_lost: Callable[[StoreError], object]) -> None:
        """Replace ``on_lost``."""
        self._on_lost = on_lost

    def abort(self, reason: str) -> None:
        """Drop the connection at once. Everybody waiting on it is told; ``on_lost`` is not."""
        self._on_lost = None
        self._lose(StoreDown(f"the connection to Redis at {self.target.address} was dropped by this node: {reason}"))

    async def close(self) -> None:
        """Hang up, and wait at most a second until the other side has noticed."""
        self.abort("closing")
        await asyncio.wait([self._gone], timeout=1)

    @property
    def idle_s(self) -> float:
        """Seconds since anything was received."""
        return self._loop.time() - self._received_at

    @property
    def certificate(self) -> dict[str, Any]:
        """The server's, as ``SSLSocket.getpeercert`` gives it; empty without TLS."""
        return (self._transport and self._transport.get_extra_info("peercert")) or {}

    # --- commands -----------------------------------------------------------------------------------------------------

    async def command(self, *args: Word, timeout_ms: int) -> Any:
        """Send one command and return its reply: bytes, int, float, bool, None, list, dict.

        Words are sent as they are (text as UTF-8). Errors inside a list reply stay in the list. Raises StoreReplyError
        (the server's answer), StoreUnknown, StoreDown, StoreOverloaded, StoreCommandDisabled; TypeError for a word
        that is no text, bytes or number.
        """
        word = args[0]
        spelling = self._spellings.get(word)
        if spelling is not word:
            spelling = spelling or self._vocabulary.spell(word)
            args = (spelling, *args[1:])
        return await self._ask(args, timeout_ms, is_subscription=False)

    async def subscribe(self, channel: bytes, *, timeout_ms: int) -> None:
        """Have messages on ``channel`` pushed to ``on_push``; returns when the server has confirmed."""
        word = self._vocabulary.renamed("SUBSCRIBE")
        await self._ask((word, channel), timeout_ms, is_subscription=True)

    async def unsubscribe(self, channel: bytes, *, timeout_ms: int) -> None:
        """No more messages on ``channel``."""
        word = self._vocabulary.renamed("UNSUBSCRIBE")
        await self._ask((word, channel), timeout_ms, is_subscription=True)

    def _ask(self, words: tuple[Word, ...], timeout_ms: int, *, is_subscription: bool) -> asyncio.Future[Any]:
        """Put a command in line. The future ends by its deadline."""
        if self.lost is not None:
            raise StoreDown(str(self.lost), raw=self.lost.raw) from self.lost
        if len(self._due) + len(self._unsent) >= self._limits.pending_commands:
            raise self._overloaded(f"{self._limits.pending_commands} commands wait already")
        packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means tuple[..., ...]
        if self._unsent_bytes + len(packed) > self._limits.unsent_bytes and self._unsent:
            raise self._overloaded(f"{self._unsent_bytes} bytes wait to be sent already")
        loop = self._loop
        waiter = loop.create_future()
        timeout_s = timeout_ms / 1000
        deadline = loop.time() + timeout_s
        self._unsent.append((packed, _Due(waiter, deadline, timeout_s, words[0], is_subscription)))
        self._unsent_bytes += len(packed)
        if self._rest_of_turn is not None and not self._rest_of_turn:
            self._flush()
        elif not self._flush_planned:
            self._flush_planned = True
            loop.call_soon(self._flush)
        if deadline < self._sweep_at:
            self._plan_sweep(deadline)
        return waiter

    def _flush(self) -> None:
        """Hand everything in line to the network, until it does not want more."""
        self._flush_planned = False
        unsent, due, transport = self._unsent, self._due, self._transport
        if transport is None or self.lost is not None:
            return
        now = self._loop.time()
        while unsent and not self._paused:
            chunks: list[bytes] = []
            size = 0
            while unsent and size < _WRITE_BYTES:
                packed, owed = unsent.popleft()
                if owed.waiter.done() or owed.deadline <= now:  # cancelled or too late: it never leaves
                    self._unsent_bytes -= len(packed)
                    self._expire(owed, now, sent=False)
                    continue
                chunks.append(packed)
                size += len(packed)
                due.append(owed)
            self._unsent_bytes -= size
            if chunks:
                transport.write(b"".join(chunks))

    # --- what the transport tells (asyncio.Protocol) ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is up."""
        self._transport = transport  # type: ignore[assignment]  # a stream transport, as create_connection promises
        self.peer = transport.get_extra_info("peername") or ()
        self._received_at = self._loop.time()

    def pause_writing(self) -> None:
        """The network does not take more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The network takes more again."""
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Pair whole replies with those who wait."""
        if self.lost is not None:
            return
        now = self._received_at = self._loop.time()
        inbox, due, take = self._inbox, self._due, self._inbox.take
        replies = 0
        try:
            inbox.feed(data)
            while (value := take()) is not MORE:
                replies += 1
                if value.__class__ is hiredis.PushNotification:
                    inbox.pushed(value, 0 if replies > 1 else len(data), now)
                    self._pushed(value)
                    continue
                if isinstance(value, StoreReplyError) and not due and not inbox.is_greeted:
                    raise named(self.target.address, value)  # it hangs up, and says why before it was asked anything
                waiter = due.popleft().waiter
                if waiter.done():
                    continue
                if isinstance(value, StoreError):
                    waiter.set_exception(value)
                else:
                    waiter.set_result(value)
            inbox.settle(data, replies)
        except StoreError as error:
            error.__traceback__ = error.__context__ = None  # it is kept, and what it came of must not be
            self._lose(error)
        except _GARBLED as error:
            self._lose(garbled(self.target.address, data, error))
        if replies:
            self._whole_at = now

    def _pushed(self, push: list[Any]) -> None:
        if push[0] in _CONFIRMATIONS and self._due and self._due[0].is_subscription:
            waiter = self._due.popleft().waiter
            if not waiter.done():
                waiter.set_result(push)
        elif is_push(push) and self._on_push is not None:
            tell(self._on_push, push)

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        if not self._gone.done():
            self._gone.set_result(None)
        at = self.target.address
        if error is None:
            self._lose(StoreClosed(f"Redis at {at} closed the connection; check whether it restarts"))
        elif isinstance(error, TimeoutError):
            self._lose(StoreSilent(f"the network gave up the connection to Redis at {at}: {StoreSilent.row.remedy}"))
        else:
            self._lose(explain(self.target, error))

    # --- time ---------------------------------------------------------------------------------------------------------

    def _plan_sweep(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._sweep_at = max(at, self._swept_at + _SWEEP_S)
        self._timer = self._loop.call_at(self._sweep_at, self._sweep)

    def _sweep(self) -> None:
        """End what is past its deadline; give the connection up when it is silent; plan the next look."""
        now = self._loop.time()
        if now - self._sweep_at > _STALL_S and not self._looks_again:
            self._looks_again = True  # promise 4: read first what arrived while our own loop stood still
            self._timer = self._loop.call_later(0.002, self._sweep)
            return
        self._looks_again = False
        self._timer, self._sweep_at, self._swept_at = None, math.inf, now
        if self._due and now >= self._silent_at():
            self._lose(silent(self.target.address, now - self._received_at, now - self._whole_at))
            return
        next_at = self._silent_at() if self._due else math.inf
        for owed in self._due:
            next_at = min(next_at, self._expire(owed, now, sent=True))
        for _, owed in self._unsent:
            next_at = min(next_at, self._expire(owed, now, sent=False))
        if next_at < math.inf:
            self._plan_sweep(next_at)

    def _silent_at(self) -> float:
        """When the oldest reply that is due makes this a silent connection."""
        oldest = self._due[0]
        asked, patience_s = oldest.deadline - oldest.timeout_s, max(self.target.silence_ms / 1000, oldest.timeout_s)
        return min(max(self._received_at, asked) + patience_s, max(self._whole_at, asked) + _PATIENCE * patience_s)

    def _expire(self, owed: _Due, now: float, *, sent: bool) -> float:
        """Fail ``owed`` if its time is over; returns when to look again."""
        if owed.waiter.done():
            return math.inf
        if now < owed.deadline:
            return owed.deadline
        waited_ms = round(owed.timeout_s * 1000)
        if sent:
            owed.waiter.set_exception(self._unknown(owed, f"sent no reply within {waited_ms} ms"))
        else:
            owed.waiter.set_exception(self._overloaded(f"it could not leave within {waited_ms} ms"))
        return math.inf

    # --- the end ------------------------------------------------------------------------------------------------------

    def _lose(self, error: StoreError) -> None:
        """This connection is over; everybody who waits is told now."""
        if self.lost is not None:
            return
        self.lost = error
        if self._timer is not None:
            self._timer.cancel()
        due, self._due = self._due, deque()
        unsent, self._unsent = self._unsent, deque()
        self._unsent_bytes = 0
        lost = f"gave no reply before the connection was lost ({error})"
        told: list[tuple[_Due, StoreError]] = [(owed, self._unknown(owed, lost)) for owed in due]
        told += [(owed, StoreDown(f"{error} (the command was not sent)", raw=error.raw)) for _, owed in unsent]
        for owed, failure in told:
            if not owed.waiter.done():
                failure.__cause__ = error
                owed.waiter.set_exception(failure)
        if self._transport is not None:
            self._transport.abort()
        if self._on_lost is not None:
            tell(self._on_lost, error)

    def _unknown(self, owed: _Due, what: str) -> StoreUnknown:
        word = owed.word.decode("utf-8", "replace") if isinstance(owed.word, bytes) else owed.word
        return StoreUnknown(f"Redis at {self.target.address} {what}; {word} may or may not have been executed")

    def _overloaded(self, why: str) -> StoreOverloaded:
        return StoreOverloaded(
            f"nothing was sent to Redis at {self.target.address}: {why}; {StoreOverloaded.row.remedy}"
        )
