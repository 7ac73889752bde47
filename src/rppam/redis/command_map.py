"""What each command is called on this server, and which commands a shared connection cannot carry.

The commands of many tasks travel on one connection. One that changes how replies are paired with requests, or that
makes the server hold back everybody's replies, has no place there.
"""

from collections.abc import Mapping
from typing import Final

from rppam.redis.errors import StoreCommandDisabled

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
_REMEMBERED_AT_MOST: Final = 1_000


class CommandMap:
    """Spelling of commands under one command map. Remembers what it has looked up."""

    def __init__(self, command_map: Mapping[str, str]) -> None:
        self._map = {name.upper(): spelling for name, spelling in command_map.items()}
        self.known: dict[object, bytes | str] = {}
        """Word as callers write it to word as it is sent; filled by :meth:`spell`."""

    def spell(self, word: object) -> bytes | str:
        """The word to send for the command ``word``. Raises StoreCommandDisabled or TypeError."""
        if not isinstance(word, str | bytes):
            raise TypeError(f"a command is text, not {type(word).__name__}")
        name = (word if isinstance(word, str) else word.decode("utf-8", "replace")).upper()
        reason = _NOT_SHARED.get(name)
        if reason is not None:
            raise StoreCommandDisabled(f"{name} cannot be used on a shared connection: {reason}")
        spelling: bytes | str = self._map.get(name, word)
        if not spelling:
            raise StoreCommandDisabled(
                f"{name} is disabled in redis.connectionString ('${name}='); remove that or give its name"
            )
        if len(self.known) < _REMEMBERED_AT_MOST:
            self.known[word] = spelling
        return spelling

    def renamed(self, name: str) -> str:
        """The word to send for our own use of ``name``, also one that callers may not use."""
        spelling = self._map.get(name, name)
        if not spelling:
            raise StoreCommandDisabled(f"{name} is disabled in redis.connectionString ('${name}='); remove that")
        return spelling
