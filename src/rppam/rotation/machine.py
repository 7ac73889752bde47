"""The change of one secret on its target, decided: what is known goes in, the next step comes out. Pure.

What always holds: **the secret that the target takes is one of those that are kept.** A candidate is kept before the
target is touched; no other is made before it is known which one the target takes; none is forgotten. Whoever takes over
after a crash asks the target before doing anything: the new candidate first, then the one before.

Each candidate is tried once in a run, because targets lock accounts after some refused log-ins; only the current one
may be tried a second time, after the change. The simulation runs this code (``src/rppam_sim/rotations.py``).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias


class Phase(StrEnum):
    """What is on disk about a rotation."""

    WAITING = "waiting"
    """The target has not been touched since it is known which secret it takes."""
    STAGED = "staged"
    """A candidate is kept; the target has not been touched."""
    CHANGING = "changing"
    """The target may have the candidate, or not."""
    UNCERTAIN = "uncertain"
    """It takes none that is kept."""
    DONE = "done"
    CANCELLED = "cancelled"


OPEN: Final = (Phase.WAITING, Phase.STAGED, Phase.CHANGING, Phase.UNCERTAIN)


class Tried(StrEnum):
    """What a log-in with a candidate came to."""

    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """Nothing was answered that says which."""


class Called(StrEnum):
    """What the change itself came to."""

    DONE = "done"
    REFUSED = "refused"
    """The target says that it changed nothing."""
    UNKNOWN = "unknown"


_NOTHING: Final[Mapping[int, Tried]] = MappingProxyType({})


class Run(NamedTuple):
    """A rotation as its present owner knows it. All but the last three is on disk."""

    phase: Phase
    current: int
    """The version that counts."""
    staged: int | None = None
    others: tuple[int, ...] = ()
    """Other versions that are kept, the newest first: the target may take one of them after all."""
    by_other: bool = False
    """Another account changes it, so it can be changed without knowing which one the target takes."""
    tried: Mapping[int, Tried] = _NOTHING
    calls: bool = False
    """This run has just written down that it changes the target."""
    called: Called | None = None


class Stage(NamedTuple):
    """Make a candidate and keep it."""


class Begin(NamedTuple):
    """Write down that the target is going to be changed."""


class Call(NamedTuple):
    """Change the target."""


class Try(NamedTuple):
    """Log in with a candidate."""

    version: int


class Commit(NamedTuple):
    """The target takes this version: it is the current one from now on, and the rotation is over."""

    version: int


class Settle(NamedTuple):
    """Write this down, and let some time pass before the next run."""

    phase: Phase
    why: str
    drops: bool = False
    """The candidate has failed."""


Step: TypeAlias = Stage | Begin | Call | Try | Commit | Settle

UNREACHED: Final = "the target did not say which secret it takes"
KEPT: Final = "the target still takes the secret of before"
NONE_TAKEN: Final = "the target takes none of the secrets that are kept"


def next_step(run: Run) -> Step:
    """What to do now. A rotation that is over has no next step: ValueError."""
    match run.phase:
        case Phase.WAITING:
            return _waiting(run)
        case Phase.STAGED:
            return Begin()
        case Phase.CHANGING if run.calls and run.called is None:
            return Call()
        case Phase.CHANGING:
            return _changing(run)
        case Phase.UNCERTAIN:
            return _uncertain(run)
        case _:
            raise ValueError(run.phase)


def staged(run: Run, version: int) -> Run:
    """A candidate is kept."""
    others = run.others if run.staged is None else (run.staged, *run.others)
    return run._replace(phase=Phase.STAGED, staged=version, others=others)


def begun(run: Run) -> Run:
    """It is written down that the target is changed; what was tried before says nothing any more."""
    return run._replace(phase=Phase.CHANGING, calls=True, called=None, tried=_NOTHING)


def called(run: Run, came_to: Called) -> Run:
    """The target was asked to change."""
    return run._replace(called=came_to)


def tried(run: Run, version: int, came_to: Tried) -> Run:
    """A log-in was tried."""
    return run._replace(tried={**run.tried, version: came_to})


def _waiting(run: Run) -> Step:
    match run.tried.get(run.current):
        case None:
            return Try(run.current)
        case Tried.UNKNOWN:
            return Settle(Phase.WAITING, UNREACHED)
        case Tried.WORKS:
            return Stage()
    if run.by_other:
        return Stage()
    found = _first(run, run.others)
    if isinstance(found, Settle):
        return found._replace(phase=Phase.WAITING)
    return found or Settle(Phase.UNCERTAIN, NONE_TAKEN)


def _changing(run: Run) -> Step:
    assert run.staged is not None  # it was kept before
    order = (run.current, run.staged) if run.called is Called.REFUSED else (run.staged, run.current)
    found = _first(run, (*order, *run.others))
    if isinstance(found, Commit) and found.version == run.current:
        return Settle(Phase.WAITING, KEPT, drops=True)
    return found or Settle(Phase.UNCERTAIN, NONE_TAKEN)


def _uncertain(run: Run) -> Step:
    candidates = (*(() if run.staged is None else (run.staged,)), run.current, *run.others)
    found = _first(run, candidates)
    if isinstance(found, Commit) and found.version == run.current:
        return Settle(Phase.WAITING, KEPT, drops=True)
    if isinstance(found, Settle):
        return found._replace(phase=Phase.UNCERTAIN)
    if found is None:
        return Stage() if run.by_other else Settle(Phase.UNCERTAIN, NONE_TAKEN)
    return found


def _first(run: Run, candidates: tuple[int, ...]) -> Try | Commit | Settle | None:
    """The next of ``candidates`` to try, or the one that works; ``None`` where all are refused."""
    for version in candidates:
        match run.tried.get(version):
            case None:
                return Try(version)
            case Tried.WORKS:
                return Commit(version)
            case Tried.UNKNOWN:
                return Settle(Phase.CHANGING, UNREACHED)
            case Tried.REFUSED:
                continue
    return None
