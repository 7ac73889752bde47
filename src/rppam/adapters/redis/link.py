"""A connection to Redis that comes back.

What it decides: when to connect (at once, then by :mod:`~rppam.adapters.redis.backoff`, at most 2 s apart), which
address to take (in order; replicas are passed over), when an idle connection is tested (keepAlive), and that channels
are subscribed again before anybody is told that the connection is up. While it is down every command fails at once
with StoreDown and the reason: nothing is queued for later, because a command that runs later than its caller believes
is worse than one that fails.

What it does not promise: that nothing was missed while it was down. Whoever keeps state from Redis (a cache, messages)
takes ``on_down`` as "anything may have changed". Tests: ``tests/integration/redis/test_link.py``.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from rppam.adapters.redis.backoff import Backoff
from rppam.adapters.redis.connection import Connection, Word
from rppam.adapters.redis.listeners import tell
from rppam.adapters.redis.options import LinkOptions, Target
from rppam.adapters.redis.scripts import Script
from rppam.domain.errors import Retry
from rppam.domain.errors.store import StoreDown, StoreError, StoreReplyError, StoreUnreachable
from rppam.domain.errors.store_replies import StoreNoScript, StoreReadOnly
from rppam.ports.clock import Clock
from rppam.ports.entropy import Entropy

_log: Final = logging.getLogger(__name__)
_US_PER_MS: Final = 1_000

Listener = Callable[[bytes], object]
"""Gets the payload of a message."""


class Subscription:
    """One listener on one channel; :meth:`close` ends it."""

    def __init__(self, link: "Link", channel: bytes, listener: Listener) -> None:
        self.channel = channel
        self.listener = listener
        self._link = link

    async def close(self) -> None:
        """Hear no more. Safe to call twice and while the link is down."""
        await self._link._end(self)  # noqa: SLF001 - the other half of the same class


class Link:
    """Keeps one :class:`Connection` alive. ``start`` and ``stop`` it in the same event loop."""

    def __init__(self, options: LinkOptions, *, clock: Clock, entropy: Entropy) -> None:
        self.options = options
        self.connection: Connection | None = None
        """The live connection, or ``None`` while there is none."""
        self.reason = "not started"
        """Why there is no connection, in a sentence with the fix; empty while there is one."""
        self._targets = options.targets()
        self._clock = clock
        self._backoff = Backoff(entropy, cap_ms=options.reconnect_cap_ms)
        self._failure: StoreError | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False
        self._subscriptions: dict[bytes, list[Subscription]] = {}
        self._on_up: list[Callable[[Connection], object]] = []
        self._on_down: list[Callable[[StoreError], object]] = []
        self._on_push: list[Callable[[list[Any]], object]] = []

    # --- life ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, then stay connected.

        With ``abort_connect``: up to ``connect_retry`` attempts in all, then the last StoreError is raised and nothing
        runs on. Without: returns after the first attempt, connected or not, and goes on trying in the background.
        """
        attempts = max(1, self.options.connect_retry) if self.options.abort_connect else 1
        for attempt in range(1, attempts + 1):
            try:
                await self._connect()
            except StoreError as error:
                self._note(error)
                hopeless = attempt == attempts or error.row.retry is Retry.NO
                if self.options.abort_connect and hopeless:
                    raise
                if attempt < attempts:
                    await asyncio.sleep(self._backoff.next_ms() / 1000)
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
        connection = self.connection
        if connection is not None:
            self._went_down(StoreDown("the connection to Redis was closed by this node"))
            await connection.close()
        self.reason = "stopped"

    @property
    def is_connected(self) -> bool:
        """Whether commands can be sent now."""
        return self.connection is not None

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
        connection = self.connection
        if connection is None:
            raise self._down()
        try:
            return await connection.command(
                *args, timeout_ms=self.options.command_timeout_ms if timeout_ms is None else timeout_ms
            )
        except StoreReadOnly as error:
            # It was a primary when we came; now another one is. Looking again beats writing into the wind.
            if connection.lost is None and self.connection is connection:
                connection.abort("it has become a read-only replica")
                self._went_down(error)
            raise

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
            left_ms = total_ms - (self._clock.now() - before) // _US_PER_MS
        return await self.command("EVAL", script.text, len(keys), *keys, *args, timeout_ms=max(1, left_ms))

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
        subscription = Subscription(self, name, listener)
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
            if self.connection is not None:
                await self._watch(self.connection)
            await asyncio.sleep(self._backoff.next_ms() / 1000)
            try:
                await self._connect()
            except StoreError as error:
                self._note(error)

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
        """Try each address once; the first primary wins. Raises the last StoreError."""
        failure: StoreError = StoreDown("redis.connectionString names no address")
        for target in self._targets:
            try:
                connection = await self._enter(target)
            except StoreError as error:
                failure = error
            else:
                self._came_up(connection)
                return
        raise failure

    async def _enter(self, target: Target) -> Connection:
        """Open, and subscribe to every channel. A channel that the server denies is logged and left out."""
        connection = await Connection.open(target, clock=self._clock, on_push=self._pushed)
        for channel in tuple(self._subscriptions):
            try:
                await connection.subscribe(channel, timeout_ms=self.options.command_timeout_ms)
            except StoreReplyError as error:
                _log.warning("no messages from channel %s: %s", channel.decode("utf-8", "replace"), error)
            except BaseException:
                connection.abort("subscribing failed")
                raise
        return connection

    def _came_up(self, connection: Connection) -> None:
        if connection.lost is not None:
            raise connection.lost
        connection.watch_loss(lambda error: self._went_down_if(connection, error))
        self.connection, self.reason, self._failure = connection, "", None
        self._lost.clear()
        self._up.set()
        who = connection.identity
        _log.info("connected to %s %s at %s", who.server, who.version, connection.target.address)
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

    def _note(self, error: StoreError) -> None:
        """Remember why it is down; say it once for each new reason."""
        said = str(error)
        if said != self.reason and not self._stopping:
            _log.warning("no connection to Redis: %s", said)
        self.reason, self._failure = said, error

    def _down(self) -> StoreUnreachable:
        failure = StoreDown(f"no connection to Redis: {self.reason}", raw=self._failure.raw if self._failure else "")
        failure.__cause__ = self._failure
        return failure
