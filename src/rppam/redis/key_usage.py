"""How much memory the keys under a prefix take, by family, from a bounded sample.

A family is what stands between the prefix and the next colon, such as ``heartbeat``. Keys are walked with SCAN (never
KEYS, which stops the server), at most ``calls_max`` times; of each family the first ``sample_max`` keys are measured
with MEMORY USAGE, and the rest is estimated from their mean. What it does not promise: exactness. Keys that come or go
meanwhile may be counted twice or not at all, as SCAN documents; what was not walked is told. Families beyond the first
``FAMILIES_MAX`` are counted and sampled as one: whoever writes foreign keys here must not cost a question for each.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from rppam.redis.connection import Connection
from rppam.redis.errors import StoreProtocol, StoreReplyError

CALLS_MAX: Final = 200
COUNT: Final = 1_000
SAMPLE_MAX: Final = 100
FAMILIES_MAX: Final = 100
OTHER: Final = "(other)"


@dataclass(slots=True)
class KeyUsage:
    """Keys of one kind."""

    name: str
    keys: int = 0
    measured: int = 0
    measured_bytes: int = 0
    largest: tuple[int, str] = field(default=(0, ""))
    """Bytes and name of the largest key that was measured."""

    @property
    def estimated_bytes(self) -> int:
        """Bytes of all its keys, from the mean of those measured."""
        return round(self.measured_bytes / self.measured * self.keys) if self.measured else 0


@dataclass(slots=True)
class Survey:
    """What was found."""

    families: dict[str, KeyUsage]
    walked_all: bool
    keys_in_all: int | None
    """DBSIZE: keys of the whole database, also those of others; ``None`` when it was denied."""


async def survey(
    connection: Connection,
    prefix: str,
    *,
    timeout_ms: int,
    calls_max: int = CALLS_MAX,
    sample_max: int = SAMPLE_MAX,
) -> Survey:
    """Walk and measure. Raises :class:`~rppam.redis.errors.StoreError` when SCAN itself fails."""
    families: dict[str, KeyUsage] = {}
    seen: set[bytes] = set()
    cursor: Any = b"0"
    walked_all = False
    for _ in range(calls_max):
        answer = await connection.command("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", COUNT, timeout_ms=timeout_ms)
        if not isinstance(answer, list) or len(answer) != 2 or not isinstance(answer[1], list):
            raise StoreProtocol(f"{connection.target.address} does not answer SCAN as a Redis does")
        cursor, keys = answer
        for key in keys:
            if key not in seen:
                seen.add(key)
                await _count(connection, families, key, prefix, timeout_ms, sample_max)
        if cursor == b"0":
            walked_all = True
            break
    try:
        in_all = await connection.command("DBSIZE", timeout_ms=timeout_ms)
    except StoreReplyError:
        in_all = None
    return Survey(families, walked_all, in_all if isinstance(in_all, int) else None)


async def _count(
    connection: Connection, families: dict[str, KeyUsage], key: bytes, prefix: str, timeout_ms: int, sample_max: int
) -> None:
    name = key.decode("utf-8", "replace")
    kind = family_of(name, prefix)
    if kind not in families and len(families) >= FAMILIES_MAX:
        kind = OTHER
    family = families.setdefault(kind, KeyUsage(kind))
    family.keys += 1
    if family.measured >= sample_max:
        return
    try:
        size = await connection.command("MEMORY", "USAGE", key, timeout_ms=timeout_ms)
    except StoreReplyError:
        return
    if isinstance(size, int):
        family.measured += 1
        family.measured_bytes += size
        family.largest = max(family.largest, (size, name))


def family_of(key: str, prefix: str) -> str:
    """``heartbeat`` for ``rppam:heartbeat:node1``."""
    return key.removeprefix(prefix).partition(":")[0]
