"""Redis and the ways to it, as the simulation of the near cache needs them: copies that end, pushes, a stale replica.

A channel is one connection: what the server sends on it, replies and pushes alike, arrives in order, late, or never. It
can fall silent (everything waits), lose pushes alone (something in between swallows them), or have its tracking
switched off at the server. Times are true nanoseconds.
"""

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

MS: Final = 1_000_000
REPLICA_LAG_MS_MOST: Final = 300
LAG_MS_MOST: Final = 450
"""Nearly what a command may take."""

Later = Callable[[int, Callable[[], None]], None]
"""Do something in so many nanoseconds."""


class Stored(NamedTuple):
    """A copy as Redis holds it."""

    revision: int
    until: int


class Channel:
    """One connection of one node."""

    def __init__(self, chance: Random, now: Callable[[], int], later: Later, lag_chance: float) -> None:
        """``lag_chance``: how often something is sent that takes up to :data:`LAG_MS_MOST`."""
        self._lag_chance = lag_chance
        self.is_open, self.is_silent, self.loses_pushes, self.tracks = True, False, False, False
        self._chance, self._now, self._later = chance, now, later
        self._there_at = self._back_at = 0
        self._held: list[Callable[[], None]] = []

    def ask(self, work: Callable[[], object], answered: Callable[[object], None]) -> None:
        """Have ``work`` done at the server, and hear its answer, if nothing comes in between."""
        self._there_at = max(self._there_at, self._now() + self._delay())

        def arrive() -> None:
            if self.is_open or self._chance.random() < 0.5:  # what was under way may still be done
                answer = work()
                self.tell(lambda: answered(answer))

        self._later(self._there_at - self._now(), arrive)

    def push(self, arrive: Callable[[], None]) -> None:
        """Tell of a change, if it is to be told here."""
        if self.tracks and not self.loses_pushes:
            self.tell(arrive)

    def tell(self, arrive: Callable[[], None]) -> None:
        """Have something arrive at the node, behind all that was sent before."""
        if self.is_silent:
            self._held.append(arrive)
            return
        self._back_at = max(self._back_at, self._now() + self._delay())
        self._later(self._back_at - self._now(), lambda: self._arrive(arrive))

    def speak(self) -> None:
        """The silence ends; what waited arrives in order."""
        self.is_silent = False
        held, self._held = self._held, []
        for arrive in held:
            self.tell(arrive)

    def _arrive(self, arrive: Callable[[], None]) -> None:
        if self.is_silent:
            self._held.append(arrive)
        elif self.is_open:
            arrive()

    def _delay(self) -> int:
        ms = LAG_MS_MOST if self._chance.random() < self._lag_chance else 3
        return int(self._chance.random() * ms * MS)


class SimRedis:
    """A primary and a replica that lags behind."""

    guard_ms = 60_000
    """So long a copy stands after its end (:data:`rppam.cache.redis_store.GUARD_MS`)."""

    def __init__(self, chance: Random, now: Callable[[], int], later: Later) -> None:
        self._chance, self._now, self._later = chance, now, later
        self._data: dict[bytes, Stored] = {}
        self._replica: dict[bytes, Stored] = {}
        self._life = 0
        self.on_change: Callable[[bytes, int], None]
        """Told of each change, with its revision."""

    def read(self, name: bytes) -> tuple[int, int] | None:
        """Revision and the whole ms left, as the script answers."""
        found = self._data.get(name)
        if found is None or (left_ms := (found.until - self._now()) // MS - self.guard_ms) <= 0:
            return None
        return found.revision, left_ms

    def put(self, name: bytes, revision: int, life_ms: int) -> bool:
        """What the script does: whether it was put, or the same or a later revision stands there."""
        found = self._data.get(name)
        if found is not None and found.until > self._now() and not self.gives_way(found, revision):
            return False
        stored = self._data[name] = Stored(revision, self._now() + (life_ms + self.guard_ms) * MS)
        self.on_change(name, revision)
        life = self._life

        def replicate() -> None:
            if life == self._life:
                self._replica[name] = stored

        self._later(int(self._chance.random() * REPLICA_LAG_MS_MOST * MS), replicate)
        return True

    def gives_way(self, stands: Stored, comes: int) -> bool:
        """Whether a copy is replaced by one of revision ``comes``."""
        has_ended = stands.until - self._now() <= self.guard_ms * MS
        return comes > stands.revision or (comes == stands.revision and has_ended)

    def flush(self) -> None:
        """Everything is gone, on the replica, too."""
        self._life += 1
        self._data.clear()
        self._replica.clear()

    def fail_over(self) -> None:
        """The replica takes over with what it has."""
        self._life += 1
        self._data = dict(self._replica)
