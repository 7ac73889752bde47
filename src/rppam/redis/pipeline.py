"""Commands and replies on one connection: RESP3, pipelined by itself.

The idea: a command is packed and put in line; once per turn of the event loop everything in line leaves in one write,
and replies are paired with commands in order. So 64 tasks cost two system calls, not 128, and nobody waits for a pool.

What it decides, and promises:

1. A command is sent at most once. Failed before its bytes were handed to the network: StoreUnreachable or
   StoreOverloaded, and it surely did not run; one that is cancelled or late by then never leaves. Failed after:
   StoreUnknown, never a second try.
2. Every command ends by its deadline (within 20 ms on a loop that turns). Its place in the line of replies stays, so
   a reply that comes late, or to a cancelled waiter, is dropped in order and nobody gets a stranger's reply.
3. A connection on which a reply is due and nothing at all arrives for ``silence_ms`` (or the deadline of the oldest
   command, if longer) is given up, and everybody waiting on it hears so at once. A single slow command does not cost
   the connection as long as anything arrives: leadership counts a new connection as a fresh wait. Bytes that make no
   whole reply within four times as long are no answer either.
4. If our own loop was stalled, it first reads what has arrived meanwhile, then judges.
5. Memory is bounded by :class:`~rppam.redis.options.Limits`; what a server says is measured before it is
   parsed (:mod:`~rppam.redis.framing`).

What it does not promise: that a command which ended with StoreUnknown does not still run later on a server that wakes
up. Tests: ``tests/redis``.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import hiredis

from rppam.kernel.listeners import tell
from rppam.redis.connect import explain
from rppam.redis.errors import (
    StoreClosed,
    StoreDown,
    StoreError,
    StoreOverloaded,
    StoreProtocol,
    StoreReplyError,
    StoreSilent,
    StoreUnknown,
)
from rppam.redis.framing import MORE, Inbox
from rppam.redis.options import Target

Word = bytes | str | int
"""One word of a command."""

_WRITE_BYTES: Final = 256 * 1024
_SWEEP_S: Final = 0.010  # deadlines are looked at no more often than this
_STALL_S: Final = 0.100  # a timer this late means that our own loop stood still
_CONFIRMATIONS: Final = frozenset((b"subscribe", b"unsubscribe"))
_GARBLED: Final = (hiredis.HiredisError, ArithmeticError, LookupError, MemoryError, SystemError, TypeError, ValueError)
_PATIENCE: Final = 4  # how many times longer for a reply of which parts come


class _Due(NamedTuple):
    """A reply that is owed to a waiter."""

    waiter: asyncio.Future[Any]
    deadline: float
    timeout_s: float
    word: Word
    is_subscription: bool = False


class _Alarm:
    """Calls ``look`` when a deadline may have passed; ``look`` returns the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, look: Callable[[float], float]) -> None:
        self.at = math.inf
        self._loop, self._look = loop, look
        self._rang_at = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._looks_again = False

    def set(self, at: float) -> None:
        """Ring at ``at``."""
        self.stop()
        self.at = max(at, self._rang_at + _SWEEP_S)
        self._timer = self._loop.call_at(self.at, self._ring)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        now = self._loop.time()
        if now - self.at > _STALL_S and not self._looks_again:
            self._looks_again = True  # promise 4: read first what arrived while our own loop stood still
            self._timer = self._loop.call_later(0.002, self._ring)
            return
        self._looks_again = False
        self._timer, self.at, self._rang_at = None, math.inf, now
        next_at = self._look(now)
        if next_at < math.inf:
            self.set(next_at)


class Pipeline(asyncio.Protocol):
    """See the module."""

    def __init__(self, target: Target, on_push: Callable[[list[Any]], object] | None) -> None:
        self.lost: StoreError | None = None
        """Why it cannot be used any more; ``None`` while it can."""
        self.on_lost: Callable[[StoreError], object] | None = None
        """Called once, and only with a loss that this node did not ask for."""
        self.transport: asyncio.Transport | None = None
        self.inbox = Inbox(target.address, target.limits)
        self._target = target
        self._on_push = on_push
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when the transport is."""
        self._unsent: deque[tuple[bytes, _Due]] = deque()
        self._unsent_bytes = 0
        self._due: deque[_Due] = deque()
        self._flush_planned = False
        # What asyncio still runs in this turn: when that is nothing, nobody can join the line, and waiting for the
        # turn's end would only cost a round of the loop. uvloop does not show it; a round is cheap there.
        self._rest_of_turn = getattr(self._loop, "_ready", None)
        self._paused = False
        self._alarm = _Alarm(self._loop, self._sweep)

    def ask(self, words: tuple[Word, ...], timeout_ms: int, *, is_subscription: bool = False) -> asyncio.Future[Any]:
        """Put a command in line. The future ends by its deadline."""
        if self.lost is not None:
            raise StoreDown(str(self.lost), raw=self.lost.raw) from self.lost
        limits = self._target.limits
        if len(self._due) + len(self._unsent) >= limits.pending_commands:
            raise self._overloaded(f"{limits.pending_commands} commands wait already")
        packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub means tuple[..., ...]
        if self._unsent_bytes + len(packed) > limits.unsent_bytes and self._unsent:
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
        if deadline < self._alarm.at:
            self._alarm.set(deadline)
        return waiter

    def _flush(self) -> None:
        """Hand everything in line to the network, until it does not want more."""
        self._flush_planned = False
        unsent, due, transport = self._unsent, self._due, self.transport
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

    # --- what the transport calls (asyncio.Protocol) ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport, which is up."""
        self.transport = transport  # type: ignore[assignment]  # a stream transport, as create_connection promises
        self.inbox.received_at = self.inbox.whole_at = self._loop.time()

    def pause_writing(self) -> None:
        """Write no more for now: the network does not take it."""
        self._paused = True

    def resume_writing(self) -> None:
        """Write again."""
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Pair whole replies with those who wait."""
        if self.lost is not None:
            return
        inbox, due = self.inbox, self._due
        take, now = inbox.take, self._loop.time()
        inbox.received_at = now
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
                    # It hangs up, and says why before it was asked anything.
                    text = f"Redis at {self._target.address} answered: {value.raw} ({value.row.remedy})"
                    raise type(value)(text, raw=value.raw)
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
            self.lose(error)
        except _GARBLED as error:
            self.lose(garbled(self._target.address, data, error))
        if replies:
            inbox.whole_at = now

    def _pushed(self, push: list[Any]) -> None:
        if push[0] in _CONFIRMATIONS and self._due and self._due[0].is_subscription:
            waiter = self._due.popleft().waiter
            if not waiter.done():
                waiter.set_result(push)
        elif is_push(push) and self._on_push is not None:
            tell(self._on_push, push)

    def connection_lost(self, error: Exception | None) -> None:
        """End: the transport is gone."""
        if not self.gone.done():
            self.gone.set_result(None)
        at = self._target.address
        if error is None:
            self.lose(StoreClosed(f"Redis at {at} closed the connection; check whether it restarts"))
        elif isinstance(error, TimeoutError):
            self.lose(StoreSilent(f"the network gave up the connection to Redis at {at}: {StoreSilent.row.remedy}"))
        else:
            self.lose(explain(self._target, error))

    # --- time and the end ---------------------------------------------------------------------------------------------

    def _sweep(self, now: float) -> float:
        """End what is past its deadline, and the connection when it is silent; when to look again."""
        next_at = self._silent_at() if self._due else math.inf
        if self._due and now >= next_at:
            self.lose(self._silent(now - self.inbox.received_at, now - self.inbox.whole_at))
            return math.inf
        for owed in self._due:
            next_at = min(next_at, self._expire(owed, now, sent=True))
        for _, owed in self._unsent:
            next_at = min(next_at, self._expire(owed, now, sent=False))
        return next_at

    def _silent_at(self) -> float:
        """When the oldest reply that is due makes this a silent connection."""
        oldest, inbox = self._due[0], self.inbox
        asked, patience_s = oldest.deadline - oldest.timeout_s, max(self._target.silence_ms / 1000, oldest.timeout_s)
        return min(max(inbox.received_at, asked) + patience_s, max(inbox.whole_at, asked) + _PATIENCE * patience_s)

    def _silent(self, nothing_s: float, unfinished_s: float) -> StoreSilent:
        """Nothing came for ``nothing_s``, and no whole reply for ``unfinished_s``."""
        what = f"has not answered for {round(nothing_s * 1000)} ms"
        if unfinished_s > 2 * nothing_s:
            what = f"sends bytes, and has not finished a reply for {round(unfinished_s * 1000)} ms"
        return StoreSilent(f"Redis at {self._target.address} {what}: {StoreSilent.row.remedy}")

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

    def lose(self, error: StoreError) -> None:
        """End the connection, and fail every command that waits."""
        if self.lost is not None:
            return
        self.lost = error
        self._alarm.stop()
        due, self._due = self._due, deque()
        unsent, self._unsent = self._unsent, deque()
        self._unsent_bytes = 0
        lost = f"gave no reply before the connection was lost ({error})"
        failures: list[tuple[_Due, StoreError]] = [(owed, self._unknown(owed, lost)) for owed in due]
        failures += [(owed, StoreDown(f"{error} (the command was not sent)", raw=error.raw)) for _, owed in unsent]
        for owed, failure in failures:
            if not owed.waiter.done():
                failure.__cause__ = error
                owed.waiter.set_exception(failure)
        if self.transport is not None:
            self.transport.abort()
        if self.on_lost is not None:
            tell(self.on_lost, error)

    def _unknown(self, owed: _Due, what: str) -> StoreUnknown:
        word = owed.word.decode("utf-8", "replace") if isinstance(owed.word, bytes) else owed.word
        return StoreUnknown(f"Redis at {self._target.address} {what}; {word} may or may not have been executed")

    def _overloaded(self, why: str) -> StoreOverloaded:
        return StoreOverloaded(
            f"nothing was sent to Redis at {self._target.address}: {why}; {StoreOverloaded.row.remedy}"
        )


def garbled(address: str, data: bytes, error: Exception) -> StoreProtocol:
    """The error for ``data`` from ``address`` that is not what a Redis would say."""
    if data.startswith((b"HTTP/", b"<html", b"<!DOC")):
        return StoreProtocol(f"{address} speaks HTTP, not Redis; check host and port in redis.connectionString")
    if data.startswith((b"\x15\x03", b"\x16\x03")):
        return StoreProtocol(f"{address} speaks TLS; set ssl=true in redis.connectionString")
    if isinstance(error, IndexError) and not data.startswith(b">"):
        return StoreProtocol(f"Redis at {address} sent a reply that nobody asked for; the connection was dropped")
    return StoreProtocol(
        f"{address} does not speak the Redis protocol ({error}); the connection was dropped", raw=str(error)
    )


def is_push(push: list[Any]) -> bool:
    """Return whether ``push`` is one; raises TypeError where it has not the shape that its name promises."""
    match push:
        case [b"message", bytes(), bytes()] | [b"invalidate", None]:
            return True
        case [b"invalidate", list(names)] if all(type(name) is bytes for name in names):
            return True
        case [b"message" | b"invalidate", *_]:
            raise TypeError("a push of another shape than its name promises")
        case [bytes(), *_]:
            return True
    raise TypeError("a push without a name")
