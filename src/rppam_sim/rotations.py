"""The change of a secret on its target, simulated: owners that die between any two steps, calls that are lost or arrive
late, targets that refuse or do not answer. One seed is one history.

What is judged after every event: the target takes one of the secrets that are kept; what a rotation calls current
worked at that moment; and once the faults are over every rotation ends. What it does not simulate: people who change
the secret on the target by hand; and the database, whose transactions count as steps here.
"""

from random import Random
from typing import Final

from rppam.rotation.machine import (
    OPEN,
    Begin,
    Call,
    Called,
    Commit,
    Phase,
    Run,
    Settle,
    Stage,
    Tried,
    Try,
    begun,
    called,
    next_step,
    staged,
    tried,
)

RUNS: Final = 12
CALM_RUNS: Final = 12
OTHERS_MAX: Final = 3


class ViolatedError(Exception):
    """What must hold did not."""


class Target:
    """It takes one secret. A call may come to it long after who made it has died."""

    def __init__(self, chance: Random) -> None:
        self._chance, self.takes, self._late = chance, 1, list[int]()

    def change(self, version: int, *, calm: bool) -> tuple[Called, bool]:
        """What the caller hears, and whether it lives to hear it."""
        lot = 1.0 if calm else self._chance.random()
        if lot < 0.15:
            return Called.REFUSED, True
        if lot < 0.3:
            return Called.UNKNOWN, True
        if lot < 0.4:
            self._late.append(version)
            return Called.UNKNOWN, self._chance.random() < 0.5
        self.takes = version
        if lot < 0.6:
            return Called.UNKNOWN, lot < 0.5
        return Called.DONE, True

    def log_in(self, version: int, *, calm: bool) -> Tried:
        """What a log-in comes to."""
        if not calm and self._chance.random() < 0.15:
            return Tried.UNKNOWN
        return Tried.WORKS if version == self.takes else Tried.REFUSED

    def pass_time(self) -> bool:
        """A late call may arrive; whether one did."""
        if self._late and self._chance.random() < 0.3:
            self.takes = self._late.pop(0)
            return True
        return False

    def forget_late(self) -> None:
        """What has not arrived never does."""
        self._late.clear()


class World:
    """One rotation on disk, and its target."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)  # noqa: S311 - a simulation
        self._by_other = self._chance.random() < 0.4
        self.target = Target(self._chance)
        self.kept = [1]
        self.phase, self.current, self.staged = Phase.WAITING, 1, None  # type: tuple[Phase, int, int | None]
        self.steps = 0

    def run(self, *, calm: bool) -> None:
        """One owner, until it settles or dies."""
        known = {self.current, self.staged}
        others = tuple(version for version in reversed(self.kept) if version not in known)[:OTHERS_MAX]
        run = Run(self.phase, self.current, self.staged, others, self._by_other)
        while calm or self._chance.random() > 0.08:
            self.steps += 1
            step = next_step(run)
            match step:
                case Stage():
                    self.kept.append(len(self.kept) + 1)
                    self.phase, self.staged = Phase.STAGED, self.kept[-1]
                    run = staged(run, self.kept[-1])
                case Begin():
                    self.phase = Phase.CHANGING
                    run = begun(run)
                case Call():
                    assert run.staged is not None
                    came_to, lives = self.target.change(run.staged, calm=calm)
                    run = called(run, came_to)
                    if not lives:
                        break
                case Try(version):
                    if version in run.tried:
                        raise ViolatedError(f"version {version} was tried twice")
                    run = tried(run, version, self.target.log_in(version, calm=calm))
                case Commit(version):
                    if version not in self.kept:
                        raise ViolatedError(f"version {version} is current and not kept")
                    if run.tried.get(version) is not Tried.WORKS:
                        raise ViolatedError(f"version {version} is current and nobody has signed in with it")
                    self.phase, self.current, self.staged = Phase.DONE, version, None
                    break
                case Settle(phase, _, drops):
                    self.phase = phase
                    self.staged = None if drops else self.staged
                    break
            self._judge()
            self.target.pass_time()
        self._judge()

    def _judge(self) -> None:
        if self.target.takes not in self.kept:
            raise ViolatedError(f"the target takes {self.target.takes}, and kept are {self.kept}")


def play(seed: int) -> int:
    """One history; how many steps it had. Raises :class:`ViolatedError`."""
    world = World(seed)
    for _ in range(RUNS):
        if world.phase not in OPEN:
            break
        world.run(calm=False)
    world.target.forget_late()
    for _ in range(CALM_RUNS):
        if world.phase is Phase.DONE and world.current == world.target.takes:
            return world.steps
        if world.phase is Phase.DONE:  # a late call came after the end: the next rotation finds what is taken
            world.phase = Phase.WAITING
        world.run(calm=True)
    if world.phase is not Phase.DONE or world.current != world.target.takes:
        known = [world.current, *reversed(world.kept)][: OTHERS_MAX + 1]
        if world.target.takes in known:
            raise ViolatedError(f"it stays {world.phase}: current {world.current}, taken {world.target.takes}")
    return world.steps
