"""Limits counted in Redis for all nodes (``LimitStore``): one script call a decision.

The script (``scripts/limits.lua``) counts by the server's clock, so node clocks do not matter, and charges several
counters at once or none. Redis sees only keyed hashes of what is limited: ``<prefix>limit:<HMAC>``. Every key carries
the time after which it says nothing any more.

What it does not promise: that a count survives Redis, or another key. A call that ended in an error may have been
charged: the caller decides elsewhere then, and does not ask again (a charge too many is on the safe side).
"""

import hmac
from collections.abc import Sequence
from typing import Any, Final

from rppam.kernel.limit import Charge, Decision, Limit, Shape
from rppam.limits.arithmetic import merged, step_us
from rppam.redis.connection import Script, whole
from rppam.redis.errors import StoreProtocol
from rppam.redis.link import Link
from rppam.redis.pipeline import Word

LIMITS: Final = Script.load("limits")
NAME_BYTES: Final = 16
_REMEMBERED_AT_MOST: Final = 1_000
_LETTER: Final = {Shape.WINDOW: "w", Shape.SMOOTH: "s"}


class RedisLimits:
    def __init__(self, link: Link, prefix: str, key: bytes) -> None:
        """``key`` names the counters; the same on all nodes of the cluster, and known to nobody else."""
        self._link = link
        self._prefix = f"{prefix}limit:"
        self._key = key
        self._names: dict[str, str] = {}
        """Of subjects that were asked about lately: each is asked about several times in a row."""
        self._words: dict[Limit, tuple[Word, ...]] = {}

    def use(self, key: bytes) -> None:
        """The key has changed: count by names of this one. What was counted under the others is forgotten once."""
        self._key = key
        self._names.clear()

    async def take(self, charges: Sequence[Charge]) -> Decision:
        """See ``LimitStore``. Raises ``ValueError`` as :func:`merged` does."""
        charges = merged(charges)
        words: list[Word] = ["take"]
        for limit, _, cost in charges:
            words += (*self._words_of(limit), cost)
        reply = await self.run([self.key_of(one.limit, one.subject) for one in charges], words)
        try:
            allowed, shown, remaining, retry_ms, reset_ms = (whole(one, "a part of a decision") for one in reply)
            limit, subject, _ = charges[shown - 1]
            return Decision(allowed == 1, limit, subject, remaining, retry_ms, reset_ms)
        except (TypeError, ValueError, IndexError) as error:
            raise StoreProtocol(f"the script of limits answered something that is not its answer: {error}") from error

    async def reset(self, limits: Sequence[Limit], subject: str) -> None:
        """Forget what was counted of ``subject`` against these limits. Raises a ``StoreError``."""
        await self.run([self.key_of(limit, subject) for limit in limits], ["forget"])

    def key_of(self, limit: Limit, subject: str) -> str:
        """The key of one counter. How many events a limit allows may change without what was counted being lost."""
        return self.name_of(f"{limit.name}\0{limit.shape.value}\0{limit.period_ms}\0{subject}")

    def name_of(self, text: str) -> str:
        """The key that ``text`` stands behind."""
        name = self._names.get(text)
        if name is None:
            digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
            name = self._prefix + digest[:NAME_BYTES].hex()
            if len(self._names) >= _REMEMBERED_AT_MOST:
                self._names.clear()
            self._names[text] = name
        return name

    async def run(self, keys: list[Word], words: list[Word]) -> Any:
        """Run the script; what it answers. Raises what the link raises."""
        return await self._link.run_script(LIMITS, keys, words)

    def _words_of(self, limit: Limit) -> tuple[Word, ...]:
        words = self._words.get(limit)
        if words is None:
            words = (_LETTER[limit.shape], limit.events, step_us(limit))
            if len(self._words) < _REMEMBERED_AT_MOST:
                self._words[limit] = words
        return words
