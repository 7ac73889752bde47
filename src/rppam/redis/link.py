"""A connection to Redis that comes back.

What it decides: when to connect (at once, then by :mod:`~rppam.redis.reconnect`; without any wait when its
:mod:`~rppam.redis.endpoint_provider` says that the primary has moved), which of the provider's addresses to take (in
order; replicas are passed over), when an idle connection is tested (keepAlive), and that channels are subscribed again
before any listener hears that the connection is up. While it is down every command fails at once with StoreDown and the
reason: nothing is queued for later, because a command that runs later than its caller believes is worse than one that
fails.

What it does not promise: that nothing was missed while it was down. A holder of state from Redis (a cache, messages)
takes ``on_down`` as "anything may have changed". Tests: ``tests/redis/test_link.py``.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.errors import Retry
from rppam.kernel.instant import US_PER_MS
from rppam.kernel.listeners import tell
from rppam.redis.connection import Connection, Script, whole
from rppam.redis.endpoint_provider import DirectEndpoints, EndpointProvider
from rppam.redis.errors import (
    StoreDown,
    StoreError,
    StoreLoading,
    StoreNoReplicas,
    StoreNoScript,
    StoreReplyError,
)
from rppam.redis.options import LinkOptions, Target
from rppam.redis.pipeline import Word
from rppam.redis.reconnect import Backoff, LinkStatus, ReplicaWait

_log: Final = logging.getLogger(__name__)


class Subscription:
    """One listener on one channel. Made by ``Link.subscribe``."""

    def __init__(
        self, channel: bytes, listener: Callable[[bytes], object], end: Callable[["Subscription"], Awaitable[None]]
    ) -> None:
        self.channel, self.listener, self._end = channel, listener, end

    async def close(self) -> None:
        """Hear no more. Safe to call twice and while the link is down."""
        await self._end(self)


class _Channels:
    """The listeners of one link, across its reconnects."""

    def __init__(self) -> None:
        self.others: list[Callable[[list[Any]], object]] = []
        """Listeners to pushes that are no messages."""
        self._subscriptions: dict[bytes, list[Subscription]] = {}

    @property
    def names(self) -> tuple[bytes, ...]:
        return tuple(self._subscriptions)

    def add(self, subscription: Subscription) -> None:
        self._subscriptions.setdefault(subscription.channel, []).append(subscription)

    def remove(self, subscription: Subscription) -> bool:
        """Return whether that was the last listener on its channel."""
        listening = self._subscriptions.get(subscription.channel, [])
        if subscription not in listening:
            return False
        listening.remove(subscription)
        if not listening:
            del self._subscriptions[subscription.channel]
        return not listening

    def pushed(self, push: list[Any]) -> None:
        if push[0] == b"message":
            for subscription in tuple(self._subscriptions.get(push[1], ())):
                tell(subscription.listener, push[2])
        else:
            for listener in self.others:
                tell(listener, push)


class Link:
    """Keeps one :class:`Connection` alive. ``start`` and ``stop`` it in the same event loop."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        clock: Clock,
        entropy: Entropy,
        source: EndpointProvider | None = None,
        peer: str = "Redis",
    ) -> None:
        """``source`` says where to connect, by default the options' endpoints; ``peer`` names it in the log."""
        self.options = options
        self.connection: Connection | None = None
        """The live connection, or ``None`` while there is none."""
        self.status = LinkStatus(peer, clock)
        self._source = source or DirectEndpoints(options)
        self._clock = clock
        self._backoff = Backoff(entropy, cap_ms=options.reconnect_cap_ms)
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._hurry = asyncio.Event()
        self._replica_wait = ReplicaWait(clock)
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._channels = _Channels()
        self._on_up: list[Callable[[Connection], object]] = []
        self._on_down: list[Callable[[StoreError], object]] = []

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, then stay connected.

        With ``abort_connect``: up to ``connect_retry`` attempts in all, then the last error is raised and nothing runs
        on. Without: returns after the first attempt, connected or not, and goes on trying in the background. A server
        that loads its data was reached: it is waited for in the background as long as it takes, in both cases.
        """
        attempts = max(1, self.options.connect_retry) if self.options.abort_connect else 1
        await self._source.start(self)
        for attempt in range(1, attempts + 1):
            try:
                await self._attempt()
            except Exception as error:
                failure = self.status.failed(error)
                if isinstance(failure, StoreLoading):
                    break
                hopeless = attempt == attempts or failure.row.retry is Retry.NO
                if self.options.abort_connect and hopeless:
                    await self._source.stop()
                    raise
                if attempt < attempts:
                    await asyncio.sleep(self._backoff.next_ms(self.status.failure) / 1000)
            else:
                break
        self._keeper = asyncio.create_task(self._keep(), name="redis-link")

    async def stop(self) -> None:
        """Hang up and try no more. Listeners of ``on_down`` are called."""
        self._stopping = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        await self._source.stop()
        if (connection := self.connection) is not None:
            self._went_down(connection, StoreDown("the connection to Redis was closed by this node"))
            await connection.close()
        self.status.reason = "stopped"

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent now."""
        return self.connection is not None

    @property
    def target(self) -> Target | None:
        """Where it is connected now; ``None`` while it is not."""
        return None if self.connection is None else self.connection.target

    async def wait_up(self, timeout_ms: int) -> bool:
        """Wait until connected, at most ``timeout_ms``; return whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                await self._up.wait()
        return self._up.is_set()

    # --- commands -----------------------------------------------------------------------------------------------------

    async def command(self, *args: Word, timeout_ms: int | None = None) -> Any:
        """See :meth:`Connection.command`; the default deadline is ``command_timeout_ms``. StoreDown while down."""
        connection = self.connection
        if connection is None:
            raise self.status.as_error()
        return await self._over(connection, args, timeout_ms)

    async def run_script(
        self, script: Script, keys: list[Word], args: list[Word], *, timeout_ms: int | None = None
    ) -> Any:
        """Run a script by its name, or by its text when the server has forgotten it.

        NOSCRIPT proves that nothing ran, so the text is sent then, once, within what is left of the deadline.
        """
        total_ms = self.options.command_timeout_ms if timeout_ms is None else timeout_ms
        before = self._clock.now()
        try:
            return await self.command("EVALSHA", script.sha, len(keys), *keys, *args, timeout_ms=total_ms)
        except StoreNoScript:
            left_ms = max(1, total_ms - (self._clock.now() - before) // US_PER_MS)
        return await self.command("EVAL", script.text, len(keys), *keys, *args, timeout_ms=left_ms)

    async def run_script_replicated(
        self, script: Script, keys: list[Word], args: list[Word], *, replicas: int, timeout_ms: int | None = None
    ) -> tuple[Any, int]:
        """As :meth:`run_script`, with how many replicas have confirmed what this connection wrote.

        WAIT follows the script in the same write; it is over when ``replicas`` confirmed, or after three quarters of
        the time. The script's own reply counts only where that number is large enough: the caller decides.
        """
        total_ms = self.options.command_timeout_ms if timeout_ms is None else timeout_ms
        before = self._clock.now()
        words = (len(keys), *keys, *args)
        answers = await self._confirmed(("EVALSHA", script.sha, *words), replicas, total_ms)
        if isinstance(answers[0], StoreNoScript):
            left_ms = max(1, total_ms - (self._clock.now() - before) // US_PER_MS)
            answers = await self._confirmed(("EVAL", script.text, *words), replicas, left_ms)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers[0], whole(answers[1], "the replicas that confirmed")

    async def _confirmed(self, words: tuple[Word, ...], replicas: int, timeout_ms: int) -> list[Any]:
        """What a script and the WAIT behind it answered, errors among it."""
        connection = self.connection
        if connection is None:
            raise self.status.as_error()
        wait = ("WAIT", replicas, max(1, timeout_ms * 3 // 4))
        both = [self._over(connection, words, timeout_ms), self._over(connection, wait, timeout_ms)]
        return await asyncio.gather(*both, return_exceptions=True)

    async def _over(self, connection: Connection, words: tuple[Word, ...], timeout_ms: int | None) -> Any:
        """One command over this connection. A reply that says that the primary is elsewhere ends the connection."""
        limit_ms = self.options.command_timeout_ms if timeout_ms is None else timeout_ms
        try:
            return await connection.command(*words, timeout_ms=limit_ms)
        except self._source.moved_words as error:
            # It was a primary when we came; now another one is. Asking where it is beats writing into the wind.
            dropped = self._drop(connection, f"it does not take our writes any more ({error.raw})", error)
            if dropped and isinstance(error, StoreNoReplicas) and self._replica_wait.refused():
                self._hurry.set()
            raise

    # --- listeners ----------------------------------------------------------------------------------------------------

    def on_up(self, listener: Callable[[Connection], object]) -> None:
        """Call ``listener`` with each new connection, once it is usable and subscribed."""
        self._on_up.append(listener)

    def on_down(self, listener: Callable[[StoreError], object]) -> None:
        """Call ``listener`` with the reason at the moment the connection is known lost, before anything else runs."""
        self._on_down.append(listener)

    def on_push(self, listener: Callable[[list[Any]], object]) -> None:
        """Call ``listener`` with each RESP3 push that is not a message of a channel (such as ``invalidate``)."""
        self._channels.others.append(listener)

    async def subscribe(self, channel: str | bytes, listener: Callable[[bytes], object]) -> Subscription:
        """Call ``listener`` with each message on ``channel``, across reconnects, until the result is closed.

        While down it takes effect with the next connection. Raises StoreReplyError when the server denies it.
        """
        name = channel.encode() if isinstance(channel, str) else channel
        subscription = Subscription(name, listener, self._unsubscribe)
        self._channels.add(subscription)
        if (connection := self.connection) is not None:
            try:
                await connection.subscribe(name, timeout_ms=self.options.command_timeout_ms)
            except StoreReplyError:
                self._channels.remove(subscription)
                raise
            except StoreError as error:
                # The connection is going; the next one subscribes again.
                connection.abort("a subscription was not confirmed")
                self._went_down(connection, error)
        return subscription

    async def _unsubscribe(self, subscription: Subscription) -> None:
        if self._channels.remove(subscription) and self.connection is not None:
            await self.connection.unsubscribe(subscription.channel, timeout_ms=self.options.command_timeout_ms)

    # --- keeping ------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Run for ever: test the connection while it is up, bring it back when it is lost."""
        while True:
            try:
                if self.connection is not None:
                    await self._watch(self.connection)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff.next_ms(self.status.failure) / 1000):
                        await self._hurry.wait()
                await self._attempt()
            except Exception as error:  # noqa: BLE001 - whatever it is: were this task to end, Redis would be lost for good
                failure = self.status.failed(error)
                if self.connection is not None:
                    self._drop(self.connection, "a fault of this node", failure)

    async def _attempt(self) -> None:
        """Connect; begin again at once when the source says meanwhile that the primary is elsewhere."""
        while True:
            self._hurry.clear()
            attempt = asyncio.create_task(self._connect(), name="redis-connect")
            hurried = asyncio.create_task(self._hurry.wait())
            try:
                await asyncio.wait({attempt, hurried}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                hurried.cancel()
                if not attempt.done():
                    attempt.cancel()
                await asyncio.gather(attempt, hurried, return_exceptions=True)
            if not self._hurry.is_set():
                return attempt.result()
            if self.connection is not None:  # it came up in the same turn, at the former address
                self._drop(self.connection, "the primary has moved", StoreDown("the primary has moved"))

    def moved(self, why: str) -> None:
        """The source says that the primary is elsewhere: fail what waits, and connect there without a pause."""
        self._replica_wait.moved()
        self._hurry.set()
        if self.connection is not None:
            self._drop(self.connection, why, StoreDown(f"the connection to Redis was dropped: {why}"))

    def _drop(self, connection: Connection, why: str, error: StoreError) -> bool:
        if connection.lost is not None or self.connection is not connection:
            return False
        connection.abort(why)
        self._went_down(connection, error)
        return True

    async def _watch(self, connection: Connection) -> None:
        """Return when ``connection`` is lost. PINGs it when it has been idle for keepAlive."""
        keep_alive_s = self.options.keep_alive_s
        while not self._lost.is_set():
            quiet_s = max(0.001, keep_alive_s - connection.idle_s) if keep_alive_s else None
            try:
                async with asyncio.timeout(quiet_s):
                    await self._lost.wait()
            except TimeoutError:
                if connection.idle_s < keep_alive_s:
                    continue
                try:
                    await connection.command("PING", timeout_ms=self.options.command_timeout_ms)
                except StoreError as error:
                    if isinstance(error, StoreReplyError):
                        continue  # an answer, and that is all we wanted to hear
                    if connection.lost is None:
                        connection.abort("it does not answer PING")
                    self._went_down(connection, error)
        self._backoff.succeeded((self._clock.now() - connection.opened_at) // US_PER_MS)

    async def _connect(self) -> None:
        """Try each address once; the first primary wins. Raises StoreLoading, else the last StoreError."""
        failure: StoreError = StoreDown("redis.connectionString names no address")
        for target in await self._source.targets():
            try:
                connection = await self._enter(target)
            except StoreError as error:
                failure = failure if isinstance(failure, StoreLoading) else error
            else:
                self._came_up(connection)
                return
        raise failure

    async def _enter(self, target: Target) -> Connection:
        """Open, and subscribe to every channel. A channel that the server denies is logged and left out."""
        connection = await Connection.open(target, clock=self._clock, on_push=self._channels.pushed)
        timeout_ms = self.options.command_timeout_ms
        try:
            for channel in self._channels.names:
                try:
                    await connection.subscribe(channel, timeout_ms=timeout_ms)
                except StoreReplyError as error:
                    _log.warning("no messages from channel %s: %s", channel.decode("utf-8", "replace"), error)
            await self._replica_wait.end(connection, timeout_ms)
        except BaseException:
            connection.abort("entering failed")
            raise
        return connection

    def _came_up(self, connection: Connection) -> None:
        if connection.lost is not None:
            raise connection.lost
        connection.watch_loss(lambda error: self._went_down(connection, error))
        self.connection = connection
        self.status.connected()
        self._lost.clear()
        self._up.set()
        who = connection.identity
        _log.info("connected to %s (%s %s) at %s", self.status.peer, who.server, who.version, connection.target.address)
        for listener in tuple(self._on_up):
            tell(listener, connection)

    def _went_down(self, connection: Connection, error: StoreError) -> None:
        if self.connection is not connection:
            return
        self.connection = None
        self._up.clear()
        self._lost.set()
        self.status.failed(error, is_logged=not self._stopping)
        for listener in tuple(self._on_down):
            tell(listener, error)
