"""The Lua scripts, one file each in ``scripts/`` beside this module, shipped as package data."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any

from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_MS
from rppam.redis.connection import Word
from rppam.redis.reply_errors import StoreNoScript


@dataclass(frozen=True, slots=True)
class Script:
    """One script: what Redis calls it (``sha``) and what it says (``text``)."""

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


async def run_script(
    send: Callable[[tuple[Word, ...], int], Awaitable[Any]],
    script: Script,
    words: tuple[Word, ...],
    total_ms: int,
    clock: Clock,
) -> Any:
    """Send it by its name, or by its text when the server has forgotten it, within ``total_ms`` in all."""
    before = clock.now()
    try:
        return await send(("EVALSHA", script.sha, *words), total_ms)
    except StoreNoScript:
        left_ms = total_ms - (clock.now() - before) // US_PER_MS
    return await send(("EVAL", script.text, *words), max(1, left_ms))
