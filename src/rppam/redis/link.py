"""A connection to Redis that comes back.

What it decides: when to connect (at once, then by :mod:`~rppam.redis.backoff`; without any wait when its
:mod:`~rppam.redis.endpoint_provider` says that the primary has moved), which of the source's addresses to
take (in order; replicas are passed over), when an idle connection is tested (keepAlive), and that channels
are subscribed again before anybody is told that the connection is up. While it is down every command fails at once
with StoreDown and the reason: nothing is queued for later, because a command that runs later than its caller believes
is worse than one that fails.

What it does not promise: that nothing was missed while it was down. Whoever keeps state from Redis (a cache, messages)
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
from rppam.kernel.listeners import tell
from rppam.redis.backoff import Backoff
from rppam.redis.connection import Connection, Word
from rppam.redis.endpoint_provider import DirectEndpoints, EndpointProvider
from rppam.redis.errors import StoreDown, StoreError, StoreReplyError
from rppam.redis.link_status import LinkStatus
from rppam.redis.options import LinkOptions, Target
from rppam.redis.replica_wait import ReplicaWait
from rppam.redis.replies import whole
from rppam.redis.reply_errors import StoreLoading, StoreNoReplicas
from rppam.redis.scripts import Script, run_script
from rppam.redis.subscription import Listener, Subscription

_log: Final = logging.getLogger(__name__)
_US_PER_MS: Final = 1_000


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
        self._source = source or DirectEndpoints(options)
        self._peer = peer
        self._clock = clock
        self._backoff = Backoff(entropy, cap_ms=options.reconnect_cap_ms)
        self.outage = LinkStatus(peer, clock)
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._hurry = asyncio.Event()
        self._shortage = ReplicaWait(clock)
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._subscriptions: dict[bytes, list[Subscription]] = {}
        self._on_up: list[Callable[[Connection], object]] = []
        self._on_down: list[Callable[[StoreError], object]] = []
        self._on_push: list[Callable[[list[Any]], object]] = []

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, then stay connected.

        With ``abort_connect``: up to ``connect_retry`` attempts in all, then the last error is raised and nothing runs
        on. Without: returns after the first attempt, connected or not, and goes on trying in the background. So it does
        when the server says that it loads its data, whatever ``abort_connect`` says: it was reached, and is waited for
        in the background as long as it takes.
        """
        attempts = max(1, self.options.connect_retry) if self.options.abort_connect else 1
        await self._source.start(self)
        for attempt in range(1, attempts + 1):
            try:
                await self._attempt()
            except Exception as error:
                failure = self._note(error)
                if isinstance(failure, StoreLoading):
                    break
                hopeless = attempt == attempts or failure.row.retry is Retry.NO
                if self.options.abort_connect and hopeless:
                    await self._source.stop()
                    raise
                if attempt < attempts:
                    await asyncio.sleep(self._backoff.next_ms(self.outage.failure) / 1000)
            else:
                break
        self._keeper = asyncio.create_task(self._keep(), name="redis-link")

    async def stop(self) -> None:
        """Hang up and try no more. Listeners of ``on_down`` are told."""
        self._stopping = True
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        await self._source.stop()
        connection = self.connection
        if connection is not None:
            self._went_down(StoreDown("the connection to Redis was closed by this node"))
            await connection.close()
        self.outage.reason = "stopped"

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent now."""
        return self.connection is not None

    @property
    def reason(self) -> str:
        """Why there is no connection, in a sentence with the fix; empty while there is one."""
        return self.outage.reason

    @property
    def failure(self) -> StoreError | None:
        """The error behind :attr:`reason`; ``None`` while connected."""
        return self.outage.failure

    @property
    def target(self) -> Target | None:
        """Where it is connected now; ``None`` while it is not."""
        return None if self.connection is None else self.connection.target

    async def wait_up(self, timeout_ms: int) -> bool:
        """Wait until connected, at most ``timeout_ms``; whether it is."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    # --- commands -----------------------------------------------------------------------------------------------------

    async def command(self, *args: Word, timeout_ms: int | None = None) -> Any:
        """See :meth:`Connection.command`; the default deadline is ``command_timeout_ms``. StoreDown while down."""
        return await self._over(self._usable(), args, timeout_ms)

    async def run_script(
        self, script: Script, keys: list[Word], args: list[Word], *, timeout_ms: int | None = None
    ) -> Any:
        """Run a script by its name, or by its text when the server has forgotten it.

        NOSCRIPT proves that nothing ran, so the text is sent then, once, within what is left of the deadline.
        """

        def send(words: tuple[Word, ...], left_ms: int) -> Awaitable[Any]:
            return self.command(*words, timeout_ms=left_ms)

        return await self._run(send, script, (len(keys), *keys, *args), timeout_ms)

    async def run_script_replicated(
        self, script: Script, keys: list[Word], args: list[Word], *, replicas: int, timeout_ms: int | None = None
    ) -> tuple[Any, int]:
        """As :meth:`run_script`, with how many replicas have confirmed what this connection wrote.

        WAIT follows the script in the same write; it is over when ``replicas`` confirmed, or after three quarters of
        the time. The script's own reply counts only where that number is large enough: the caller decides.
        """

        async def send(words: tuple[Word, ...], left_ms: int) -> tuple[Any, int]:
            connection = self._usable()
            wait = ("WAIT", replicas, max(1, left_ms * 3 // 4))
            both = [self._over(connection, words, left_ms), self._over(connection, wait, left_ms)]
            reply, confirmed = await asyncio.gather(*both, return_exceptions=True)
            if isinstance(reply, BaseException):
                raise reply
            if isinstance(confirmed, BaseException):
                raise confirmed
            return reply, whole(confirmed, "the replicas that confirmed")

        answer: tuple[Any, int] = await self._run(send, script, (len(keys), *keys, *args), timeout_ms)
        return answer

    async def _run(
        self,
        send: Callable[[tuple[Word, ...], int], Awaitable[Any]],
        script: Script,
        words: tuple[Word, ...],
        timeout_ms: int | None,
    ) -> Any:
        total_ms = self.options.command_timeout_ms if timeout_ms is None else timeout_ms
        return await run_script(send, script, words, total_ms, self._clock)

    def _usable(self) -> Connection:
        if self.connection is None:
            raise self.outage.as_error()
        return self.connection

    async def _over(self, connection: Connection, words: tuple[Word, ...], timeout_ms: int | None) -> Any:
        """One command over this connection. A reply that says that the primary is elsewhere ends the connection."""
        limit_ms = self.options.command_timeout_ms if timeout_ms is None else timeout_ms
        try:
            return await connection.command(*words, timeout_ms=limit_ms)
        except self._source.moved_words as error:
            # It was a primary when we came; now another one is. Looking again beats writing into the wind.
            dropped = self._drop(connection, f"it does not take our writes any more ({error.raw})", error)
            if dropped and isinstance(error, StoreNoReplicas) and self._shortage.refused():
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
        self._on_push.append(listener)

    async def subscribe(self, channel: str | bytes, listener: Listener) -> Subscription:
        """Call ``listener`` with each message on ``channel``, across reconnects, until the result is closed.

        While down it takes effect with the next connection. Raises StoreReplyError when the server denies it.
        """
        name = channel.encode() if isinstance(channel, str) else channel
        subscription = Subscription(name, listener, self._end)
        others = self._subscriptions.setdefault(name, [])
        others.append(subscription)
        connection = self.connection
        if connection is not None:
            try:
                await connection.subscribe(name, timeout_ms=self.options.command_timeout_ms)
            except StoreReplyError:
                self._forget(subscription)
                raise
            except StoreError as error:
                # The connection is going; the next one subscribes again.
                connection.abort("a subscription was not confirmed")
                self._went_down_if(connection, error)
        return subscription

    async def _end(self, subscription: Subscription) -> None:
        if not self._forget(subscription) or self.connection is None:
            return
        await self.connection.unsubscribe(subscription.channel, timeout_ms=self.options.command_timeout_ms)

    def _forget(self, subscription: Subscription) -> bool:
        """Whether that was the last listener on its channel."""
        others = self._subscriptions.get(subscription.channel, [])
        if subscription not in others:
            return False
        others.remove(subscription)
        if others:
            return False
        del self._subscriptions[subscription.channel]
        return True

    def _pushed(self, push: list[Any]) -> None:
        if push[0] == b"message":
            for subscription in tuple(self._subscriptions.get(push[1], ())):
                tell(subscription.listener, push[2])
        else:
            for listener in self._on_push:
                tell(listener, push)

    # --- keeping ------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Run for ever: test the connection while it is up, bring it back when it is lost."""
        while True:
            try:
                if self.connection is not None:
                    await self._watch(self.connection)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff.next_ms(self.outage.failure) / 1000):
                        await self._hurry.wait()
                await self._attempt()
            except Exception as error:  # noqa: BLE001 - whatever it is: were this task to end, Redis would be lost for good
                failure = self._note(error)
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
            if self.connection is not None:  # it came up in the same turn, at the address of before
                self._drop(self.connection, "the primary has moved", StoreDown("the primary has moved"))

    def moved(self, why: str) -> None:
        """The source says that the primary is elsewhere: fail what waits, and connect there without a pause."""
        self._shortage.moved()
        self._hurry.set()
        if self.connection is not None:
            self._drop(self.connection, why, StoreDown(f"the connection to Redis was dropped: {why}"))

    def _drop(self, connection: Connection, why: str, error: StoreError) -> bool:
        if connection.lost is not None or self.connection is not connection:
            return False
        connection.abort(why)
        self._went_down(error)
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
                if connection.idle_s >= keep_alive_s:
                    await self._ping(connection)
        self._backoff.succeeded((self._clock.now() - connection.opened_at) // _US_PER_MS)

    async def _ping(self, connection: Connection) -> None:
        try:
            await connection.command("PING", timeout_ms=self.options.command_timeout_ms)
        except StoreReplyError:
            return  # an answer, and that is all we wanted to hear
        except StoreError as error:
            if connection.lost is None:
                connection.abort("it does not answer PING")
            self._went_down_if(connection, error)

    async def _connect(self) -> None:
        """Try each address once; the first primary wins. Raises the last StoreError, or that one of them loads."""
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
        connection = await Connection.open(target, clock=self._clock, on_push=self._pushed)
        timeout_ms = self.options.command_timeout_ms
        try:
            for channel in tuple(self._subscriptions):
                try:
                    await connection.subscribe(channel, timeout_ms=timeout_ms)
                except StoreReplyError as error:
                    _log.warning("no messages from channel %s: %s", channel.decode("utf-8", "replace"), error)
            await self._shortage.end(connection, timeout_ms)
        except BaseException:
            connection.abort("entering failed")
            raise
        return connection

    def _came_up(self, connection: Connection) -> None:
        if connection.lost is not None:
            raise connection.lost
        connection.watch_loss(lambda error: self._went_down_if(connection, error))
        self.connection = connection
        self.outage.over()
        self._lost.clear()
        self._up.set()
        who = connection.identity
        _log.info("connected to %s (%s %s) at %s", self._peer, who.server, who.version, connection.target.address)
        for listener in tuple(self._on_up):
            tell(listener, connection)

    def _went_down_if(self, connection: Connection, error: StoreError) -> None:
        if self.connection is connection:
            self._went_down(error)

    def _went_down(self, error: StoreError) -> None:
        self.connection = None
        self._up.clear()
        self._lost.set()
        self._note(error)
        for listener in tuple(self._on_down):
            tell(listener, error)

    def _note(self, error: Exception) -> StoreError:
        return self.outage.note(error, is_told=not self._stopping)
