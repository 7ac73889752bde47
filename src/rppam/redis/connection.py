"""One connection to Redis that all tasks share: opened, greeted, and identified.

How commands and replies travel on it, and what that promises, is decided in :mod:`~rppam.redis.pipeline`. What it does
not promise: to reconnect; that is :mod:`~rppam.redis.link`.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, ClassVar, Final

from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant
from rppam.redis.connect import connect, reason, too_slow
from rppam.redis.errors import StoreCommandDisabled, StoreDown, StoreError, StoreProtocol, StoreUnknown
from rppam.redis.handshake import ServerIdentity, greet
from rppam.redis.options import Target
from rppam.redis.pipeline import Pipeline, Word

_NOT_SHARED: Final = {
    **dict.fromkeys(("SUBSCRIBE", "UNSUBSCRIBE"), "use Link.subscribe(), which survives a reconnect"),
    **dict.fromkeys(("PSUBSCRIBE", "PUNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE"), "only plain channels are supported"),
    **dict.fromkeys(("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"), "use a script: it is atomic"),
    **dict.fromkeys(("MONITOR", "SYNC", "PSYNC", "QUIT", "RESET"), "it changes what the connection is for"),
    **dict.fromkeys(
        ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"),
        "it would hold back the replies of all other commands",
    ),
}
"""Commands that change how replies are paired with requests, or make the server hold back everybody's replies."""
_REMEMBERED_AT_MOST: Final = 1_000
_WHOLE_MAX: Final = 2**53


class CommandMap(dict[object, bytes | str]):
    """Command as callers write it to the word to send; filled as commands are used.

    A command that is disabled, or that a shared connection cannot carry, raises StoreCommandDisabled; what is no text
    raises TypeError.
    """

    def __init__(self, command_map: Mapping[str, str]) -> None:
        super().__init__()
        self._map = {name.upper(): spelling for name, spelling in command_map.items()}

    def __missing__(self, word: object) -> bytes | str:
        if not isinstance(word, str | bytes):
            raise TypeError(f"a command is text, not {type(word).__name__}")
        name = (word if isinstance(word, str) else word.decode("utf-8", "replace")).upper()
        reason = _NOT_SHARED.get(name)
        if reason is not None:
            raise StoreCommandDisabled(f"{name} cannot be used on a shared connection: {reason}")
        spelling = self.renamed(name, word)
        if len(self) < _REMEMBERED_AT_MOST:
            self[word] = spelling
        return spelling

    def renamed(self, name: str, word: bytes | str = "") -> bytes | str:
        """What to send for ``name`` (``word``, or itself, where it has its own), also for what callers may not use."""
        spelling = self._map.get(name, word or name)
        if not spelling:
            raise StoreCommandDisabled(
                f"{name} is disabled in redis.connectionString ('${name}='); remove that or give its name"
            )
        return spelling


@dataclass(frozen=True, slots=True)
class Script:
    """One Lua script: what Redis calls it (``sha``) and what it says (``text``)."""

    name: str
    text: str
    sha: str
    """SHA-1 of the text in hexadecimal: its name in the script cache, not a security measure."""

    @classmethod
    def of(cls, name: str, text: str) -> "Script":
        """A script from its text."""
        return cls(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def load(cls, name: str) -> "Script":
        """The script in ``scripts/NAME.lua``. Raises FileNotFoundError when the package does not hold it."""
        return cls.of(name, (files("rppam.redis") / "scripts" / f"{name}.lua").read_text(encoding="utf-8"))


class Connection:
    """See the module. Made by :meth:`open` only."""

    _numbers: ClassVar = itertools.count(1)

    def __init__(self, target: Target, pipeline: Pipeline) -> None:
        self.target = target
        self.number: int = next(Connection._numbers)
        """Grows with each connection that this process makes."""
        self.identity: ServerIdentity
        self.opened_at: Instant
        self.peer: tuple[Any, ...] = ()
        """Address and port at the other end."""
        self._pipeline = pipeline
        self._ask = pipeline.ask
        self._commands = CommandMap(target.command_map)

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

        ``on_push`` gets every RESP3 push that is not a confirmation; ``on_lost`` is called once, and only with a loss
        that this node did not ask for. Raises a leaf of StoreUnreachable, or the StoreReplyError that the server
        greeted with.
        """
        pipeline = Pipeline(target, on_push)
        self = cls(target, pipeline)
        until = asyncio.get_running_loop().time() + target.connect_timeout_ms / 1000
        await connect(target, lambda: pipeline)
        self.peer = self._about("peername") or ()
        # Longer than the connect timeout, which bounds all of this from outside.
        patience_ms = 2 * target.connect_timeout_ms
        try:
            async with asyncio.timeout_at(until):
                self.identity = await greet(lambda words: self.command(*words, timeout_ms=patience_ms), target)
        except TimeoutError:
            self.abort("no greeting in time")
            raise too_slow(target, pipeline.inbox.partial_bytes) from None
        except (StoreUnknown, StoreDown) as error:
            raise await reason(target, self.lost or error) from None
        except BaseException:
            self.abort("the greeting failed")
            raise
        if self.lost is not None:
            raise self.lost
        pipeline.on_lost = on_lost
        pipeline.inbox.greeted()
        self.opened_at = clock.now()
        return self

    @property
    def lost(self) -> StoreError | None:
        """Why it cannot be used any more; ``None`` while it can."""
        return self._pipeline.lost

    def watch_loss(self, on_lost: Callable[[StoreError], object]) -> None:
        """Replace ``on_lost``."""
        self._pipeline.on_lost = on_lost

    def abort(self, reason: str) -> None:
        """Drop the connection at once. Every command that waits fails; ``on_lost`` is not called."""
        self._pipeline.on_lost = None
        self._pipeline.lose(
            StoreDown(f"the connection to Redis at {self.target.address} was dropped by this node: {reason}")
        )

    async def close(self) -> None:
        """Hang up, and wait at most a second until the other side has noticed."""
        self.abort("closing")
        await asyncio.wait([self._pipeline.gone], timeout=1)

    @property
    def idle_s(self) -> float:
        """Seconds since anything was received."""
        return asyncio.get_running_loop().time() - self._pipeline.inbox.received_at

    @property
    def certificate(self) -> dict[str, Any]:
        """The server's, as ``SSLSocket.getpeercert`` gives it; empty without TLS."""
        return self._about("peercert") or {}

    def _about(self, what: str) -> Any:
        return self._pipeline.transport and self._pipeline.transport.get_extra_info(what)

    async def command(self, *args: Word, timeout_ms: int) -> Any:
        """Send one command and return its reply: bytes, int, float, bool, None, list, dict.

        Words are sent as they are (text as UTF-8). Errors inside a list reply stay in the list. Raises StoreReplyError
        (the server's answer), StoreUnknown, StoreDown, StoreOverloaded, StoreCommandDisabled; TypeError for a word
        that is no text, bytes or number.
        """
        word = args[0]
        spelling = self._commands[word]
        if spelling is not word:
            args = (spelling, *args[1:])
        return await self._ask(args, timeout_ms)

    async def subscribe(self, channel: bytes, *, timeout_ms: int) -> None:
        """Have messages on ``channel`` pushed to ``on_push``; returns when the server has confirmed."""
        await self._ask((self._commands.renamed("SUBSCRIBE"), channel), timeout_ms, is_subscription=True)

    async def unsubscribe(self, channel: bytes, *, timeout_ms: int) -> None:
        """Have no more messages on ``channel`` pushed."""
        await self._ask((self._commands.renamed("UNSUBSCRIBE"), channel), timeout_ms, is_subscription=True)


def whole(value: object, what: str) -> int:
    """``value``, which is ``what`` in an answer. Raises StoreProtocol where it is no whole number: RESP3 has doubles,
    infinity, truth values and numbers of any length, too."""
    if type(value) is int and abs(value) <= _WHOLE_MAX:
        return value
    raise StoreProtocol(f"Redis answered a {type(value).__name__} for {what}; expected a whole number up to 2**53")
