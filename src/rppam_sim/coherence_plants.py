"""Planted bugs of the near cache: the production core, the steps or the store with one clause replaced by a shortcut.

They show that the simulation has teeth, and that each clause is needed. A plant is never reachable from a node.
"""

from typing import Any, Final, NamedTuple

from rppam.cache.coherence import FLOOR_NS, Coherence, Load, MinimumRevisions, Shelf
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Kind
from rppam_sim.coherence_process import Process, Running
from rppam_sim.coherence_store import SimRedis, Stored
from rppam_sim.coherence_world import World


class _MarksStay(Shelf[Any]):
    """Keeps an answer whatever came in between."""

    def keep(self, load: Load, revision: int, fact: Any, life_ms: int, value_size: int, *, asked: int) -> bool:
        if self._loads.get(load.ident) is None:
            load.counts = True
            self._loads[load.ident] = load
        return super().keep(load, revision, fact, life_ms, value_size, asked=asked)


class _KeepsCrossed(Coherence):
    def shelf(self, kind: Kind) -> Shelf[Any]:
        shelf: Shelf[Any] = _MarksStay(kind, self._trust, self.now, self._room)
        self._shelves.append(shelf)
        return shelf


class _KeepsOverReconnect(Coherence):
    def _clear(self) -> None:
        pass


class _TrustsSilence(Coherence):
    def link_up(self, asked: int) -> None:
        super().link_up(asked)
        self._trust.until = asked + FLOOR_NS

    def proven(self, asked: int) -> None:
        super().proven(asked + FLOOR_NS)


class _BelievesAnyRevision(Coherence):
    def believes(self, key: CacheKey, revision: int) -> bool:  # noqa: ARG002
        return self._informed


class _BelievesUninformed(Coherence):
    def believes(self, key: CacheKey, revision: int) -> bool:
        return self._floors.allows(key, revision, self.now())


class _ForgetsFloors(MinimumRevisions):
    def allows(self, key: CacheKey, revision: int, now: int) -> bool:
        self._blind_until.clear()
        return super().allows(key, revision, now)


class _IgnoresEnds(Process):
    def keep(self, mark: Load, revision: int, life_ms: int, asked: int) -> None:  # noqa: ARG002
        super().keep(mark, revision, LIFE_MS_MAX, asked)


class _JoinsAnyLoad(Process):
    def may_join(self, running: Running, ident: str) -> bool:  # noqa: ARG002
        return True


class _DeafToTheLog(Process):
    def _poll(self) -> None:
        self.coherence.informed()


class _LastPutWins(SimRedis):
    def gives_way(self, stands: Stored, comes: int) -> bool:  # noqa: ARG002
        return True


class _NoGuard(SimRedis):
    guard_ms = 0


class _Silent(World):
    """Links fall silent, and SQL is too far for the log to tell in time."""

    reads_ms, sqls_ms, lags, harms = (5,), (1_400,), (0.9,), ("silence",)


class _Idle(World):
    """Little is asked, much is not published, and processes come and go: what Redis holds is old."""

    reads_ms, sqls_ms, few_floors, lost_publish, harms = (1_000,), (10, 900), 1.0, 0.5, ("break_off", "restart")


class _Forgetful(World):
    """Little is asked, so that what one process has made good another does not meet."""

    reads_ms, sqls_ms, few_floors, lost_publish, harms = (5_000,), (10,), 1.0, 0.5, ("break_off",)


class _Far(World):
    """SQL answers late, when what it says may be old, to processes that were not told."""

    reads_ms, sqls_ms, lives_ms, harms = (15,), (900,), (400, 600_000), ("swallow",)


class Plant(NamedTuple):
    """The production core, steps and store with one clause replaced."""

    sentence: str
    where: type[World] = World
    """In which it shows."""
    coherence: type[Coherence] = Coherence
    process: type[Process] = Process
    redis: type[SimRedis] = SimRedis
    floors: type[MinimumRevisions] = MinimumRevisions

    def world(self) -> type[World]:
        """The world with the bug in it."""
        plant = self

        class PlantedProcess(plant.process):  # type: ignore[name-defined,misc]  # a class made at run time
            coherence_type = plant.coherence

        class PlantedWorld(plant.where):  # type: ignore[name-defined,misc]
            process_type = PlantedProcess
            redis_type = plant.redis
            floors_type = plant.floors

        return PlantedWorld


PLANTS: Final = {
    "keeps-crossed": Plant("An answer is kept although an invalidation crossed it.", coherence=_KeepsCrossed),
    "keeps-over-reconnect": Plant("What was kept outlives the connection.", coherence=_KeepsOverReconnect),
    "trusts-silence": Plant("A link that was proven once is trusted.", where=_Silent, coherence=_TrustsSilence),
    "any-revision": Plant("What Redis shows is believed, whatever is known.", coherence=_BelievesAnyRevision),
    "uninformed": Plant("Redis is believed before the log is read.", where=_Idle, coherence=_BelievesUninformed),
    "forgets-floors": Plant("What is known is forgotten for want of room.", where=_Forgetful, floors=_ForgetsFloors),
    "ignores-ends": Plant("A near copy lives as long as it may at most.", process=_IgnoresEnds),
    "joins-any-load": Plant("Who asks after a change waits for a load from before it.", process=_JoinsAnyLoad),
    "deaf-to-the-log": Plant("The log of changes is not read.", where=_Idle, process=_DeafToTheLog),
    "last-put-wins": Plant("Redis keeps what came last, not what is newest.", redis=_LastPutWins),
    "no-guard": Plant("A copy that has ended does not keep older ones away.", where=_Far, redis=_NoGuard),
}
