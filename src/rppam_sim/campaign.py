"""A campaign: many seeds over all cores, in order, until the first violation.

The outcome depends on the options alone, never on how many processes worked on it: results are taken in the order of
the seeds, and everything after the lowest violating seed is left out.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Final, NamedTuple

from rppam_sim.plants import CORRECT, PLANTS
from rppam_sim.setting import Scenario
from rppam_sim.transcript import clock_time
from rppam_sim.verdict import Violation
from rppam_sim.world import World

CHUNK: Final = 4
"""Seeds that one process takes at a time."""


class Run(NamedTuple):
    """What became of one seed."""

    seed: int
    exchanges: int
    promotions: int
    faults: int
    simulated_us: int
    violation: Violation | None


class Failure(NamedTuple):
    """The lowest seed with a violation, and how it came about."""

    seed: int
    violation: Violation
    transcript: tuple[str, ...]


class Outcome(NamedTuple):
    """What became of all seeds up to the first violation."""

    seeds: int
    """Seeds run, the violating one included."""
    exchanges: int
    promotions: int
    faults: int
    simulated_us: int
    failure: Failure | None


def run_seed(setting: Scenario, plant_name: str, seed: int) -> Run:
    """One run; ``plant_name`` is empty for the production core."""
    world = World(seed, setting, PLANTS[plant_name] if plant_name else CORRECT)
    violation = world.run()
    return Run(
        seed,
        world.exchanges,
        world.judge.promotions,
        world.storm.struck + world.member_storm.struck,
        world.now,
        violation,
    )


def retrace(setting: Scenario, plant_name: str, seed: int) -> Failure:
    """Run a violating seed once more, keeping the transcript. The same seed does the same."""
    world = World(seed, setting, PLANTS[plant_name] if plant_name else CORRECT, tracing=True)
    violation = world.run()
    if violation is None:
        raise RuntimeError(f"seed {seed} showed a violation once and not again: the simulation is not repeatable")
    last = f"{clock_time(violation.at_us)}  VIOLATION of {violation.law}: {violation.sentence}"
    return Failure(seed, violation, (*world.transcript.lines, last))


def run_campaign(
    setting: Scenario,
    plant_name: str,
    seeds: range,
    jobs: int,
    progress: Callable[[int], None] = lambda done: None,  # noqa: ARG005
) -> Outcome:
    """Run the seeds in ``jobs`` processes; ``progress`` is told how many are done."""
    exchanges = promotions = faults = simulated_us = done = 0
    failed: Run | None = None
    with _results(partial(run_seed, setting, plant_name), seeds, jobs) as results:
        for run in results:
            done += 1
            exchanges += run.exchanges
            promotions += run.promotions
            faults += run.faults
            simulated_us += run.simulated_us
            progress(done)
            if run.violation is not None:
                failed = run
                break
    failure = None if failed is None else retrace(setting, plant_name, failed.seed)
    return Outcome(done, exchanges, promotions, faults, simulated_us, failure)


@contextmanager
def _results(job: Callable[[int], Run], seeds: range, jobs: int) -> Iterator[Iterator[Run]]:
    if jobs == 1 or len(seeds) == 1:
        yield map(job, seeds)
        return
    pool = get_context("spawn").Pool(min(jobs, len(seeds)), initializer=_ignore_interrupt)
    try:
        yield pool.imap(job, seeds, chunksize=min(CHUNK, max(1, len(seeds) // jobs)))
    finally:
        pool.terminate()
        pool.join()


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's business; it ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
