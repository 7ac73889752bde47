"""The arithmetic of tries to sign in: the oracle that the store's script is held against.

Of each suspect there are two texts: the window of wrong tries (``arithmetic``), and the leases of those under
way, ``t<name>:<ms>,<name>:<ms>,...``: 16 hexadecimal digits and when it lapses. A try is let in while wrong ones and
those under way together leave room for it; a wrong one moves from the leases to the window in one step, so it is never
counted in neither.

What is no lease counts as none; so does one that lapses later than any lease could: the clock was set back, or
somebody made it up. The process that checks the try renews it every second, and is back in the text with that.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.access.lockouts.tries import LEASE_MS, Entry, Standing
from rppam.kernel.limit import Limit
from rppam.limits.arithmetic import booked_at, counted_now

TEXT_MAX: Final = 400_000
"""A longer text is none of ours: 10,000 leases are shorter."""
_US_PER_MS: Final = 1_000
_LEASE: Final = re.compile(r"([0-9a-f]{16}):([0-9]{1,15})")


class Texts(NamedTuple):
    """What stands in the store of one suspect; empty is nothing."""

    wrong: str = ""
    leases: str = ""


class After(NamedTuple):
    """What was decided, and the texts after it."""

    entry: Entry
    texts: tuple[Texts, ...]


def enter(limits: Sequence[Limit], texts: Sequence[Texts], now_us: int, name: str) -> After:
    """Let one try in everywhere, or nowhere."""
    found = [_read(limit, one, now_us, name) for limit, one in zip(limits, texts, strict=True)]
    if any(one.standing.is_full(limit) for limit, one in zip(limits, found, strict=True)):
        kept = (Texts(one.wrong_text, text.leases) for one, text in zip(found, texts, strict=True))
        return After(Entry(False, tuple(one.standing for one in found)), tuple(kept))
    return _after([one.with_lease(name, now_us) for one in found])


def renew(limits: Sequence[Limit], texts: Sequence[Texts], now_us: int, name: str) -> After:
    """A try is still under way; it counts again also where its lease has lapsed or was lost."""
    found = (_read(limit, one, now_us, name) for limit, one in zip(limits, texts, strict=True))
    return _after([one.with_lease(name, now_us) for one in found])


def leave(limits: Sequence[Limit], texts: Sequence[Texts], now_us: int, name: str) -> After:
    """A try costs nothing after all."""
    return _after([_read(limit, one, now_us, name) for limit, one in zip(limits, texts, strict=True)])


def fail(limits: Sequence[Limit], texts: Sequence[Texts], now_us: int, name: str) -> After:
    """A try was wrong: it counts, however many there are already."""
    moved = [
        _read(limit, Texts(booked_at(limit, one.wrong, now_us, (0,)), one.leases), now_us, name)
        for limit, one in zip(limits, texts, strict=True)
    ]
    return _after(moved)


class _Read(NamedTuple):
    """What the texts say now of others than the try that is meant."""

    wrong: int
    wrong_text: str
    leases: tuple[tuple[str, int], ...]
    now_ms: int

    @property
    def standing(self) -> Standing:
        lapses = max((at for _, at in self.leases), default=self.now_ms)
        return Standing(self.wrong, len(self.leases), lapses - self.now_ms)

    def with_lease(self, name: str, now_us: int) -> "_Read":
        return self._replace(leases=(*self.leases, (name, now_us // _US_PER_MS + LEASE_MS)))

    def texts(self) -> Texts:
        leases = ",".join(f"{name}:{at}" for name, at in self.leases)
        return Texts(self.wrong_text, f"t{leases}" if leases else "")


def _read(limit: Limit, texts: Texts, now_us: int, name: str) -> _Read:
    now_ms = now_us // _US_PER_MS
    leases: list[tuple[str, int]] = []
    if texts.leases.startswith("t") and len(texts.leases) <= TEXT_MAX:
        for one in texts.leases[1:].split(","):
            found = _LEASE.fullmatch(one)
            if found and found[1] != name and now_ms < int(found[2]) <= now_ms + LEASE_MS:
                leases.append((found[1], int(found[2])))
    wrong, text = counted_now(limit, texts.wrong, now_us)
    return _Read(wrong, text, tuple(leases), now_ms)


def _after(found: Sequence[_Read]) -> After:
    return After(Entry(True, tuple(one.standing for one in found)), tuple(one.texts() for one in found))
