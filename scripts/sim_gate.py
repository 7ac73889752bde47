"""The gate's simulation: ``make sim-gate``. Shares SEEDS runs out over every policy, size and store.

All runs of all settings stand in one queue, the most expensive first, so that no core waits for another. The first
run that violates a property is repeated by ``rppam simulate``, which shows how it came about; the exit code is 1 then.

With ``--compiled`` what decides is compiled first, which halves the processor time of many seeds; where there is no
compiler it is said, and the same seeds run interpreted. ``--kept`` does so where that has been done before, without a
word where it has not. Not promised: that compiling pays where seeds are few.

A seed does the same for ever while nothing changes that a simulated hour runs. So ``--record`` keeps in
tests/sim/passed.json which sources have passed, and with ``--unless-passed`` such sources are only spot-checked, by a
tenth of the seeds.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from collections import Counter
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rppam_sim.campaign import run_seed
from rppam_sim.member_faults import ALL_FAULTS
from rppam_sim.setting import Scenario
from scripts.compile_sim import compiled, simulated_digest

SHARES = (
    (12, "--nodes 2"),
    (14, "--nodes 3"),
    (8, "--nodes 5"),
    (4, "--nodes 3 --store sentinel"),
    (2, "--nodes 3 --profile default"),
    (8, "--policy last-man-standing --nodes 2"),
    (8, "--policy last-man-standing --nodes 3"),
    (2, "--policy last-man-standing --nodes 4"),
    (2, "--policy last-man-standing --nodes 5"),
    (6, "--policy last-man-standing --nodes 3 --store sentinel"),
    (10, "--policy majority --nodes 3"),
    (8, "--policy majority --nodes 2 --witnesses 1"),
    (2, "--policy majority --nodes 4"),
    (2, "--policy majority --nodes 4 --witnesses 1"),
    (2, "--policy majority --nodes 5 --store sentinel"),
    (2, "--policy majority --nodes 3 --store sentinel"),
    (1, "--policy majority --nodes 7"),
    (1, "--policy majority --nodes 5 --witnesses 1"),
    (1, "--policy majority --nodes 6"),
    (1, "--policy majority --nodes 3 --witnesses 1"),
    (1, "--policy last-man-standing --nodes 6"),
    (1, "--policy last-man-standing --nodes 7"),
    (1, "--policy last-man-standing --nodes 2 --witnesses 1"),
    (1, "--policy majority --nodes 3 --profile default"),
)
"""In hundredths of all seeds."""
PASSED = Path(__file__).parents[1] / "tests" / "sim" / "passed.json"
SPOT = 10
"""One seed in so many is run again of what has passed."""
YOUNG = 50_000
"""Objects between two collections: a world makes many that live for a moment, and hardly any circle."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="runs in all")
    parser.add_argument("--hours", type=float, default=1.0, help="simulated hours of each")
    parser.add_argument("--jobs", type=int, default=0, help="processes at a time (0: one per core)")
    parser.add_argument("--compiled", action="store_true", help="first compile what decides, for many seeds")
    parser.add_argument("--kept", action="store_true", help="the same, where it has been compiled before")
    parser.add_argument("--unless-passed", action="store_true", help="a tenth of it where these sources have passed")
    parser.add_argument("--record", action="store_true", help="keep that these sources have passed")
    options = parser.parse_args()
    words = [word for word in sys.argv[1:] if word not in {"--compiled", "--kept", "--unless-passed"}]
    if options.unless_passed and passed(options.seeds, options.hours):
        print(f"these sources have passed {options.seeds} clusters before ({PASSED.name}); one in {SPOT} is run again")
        options.seeds, options.compiled, options.kept = options.seeds // SPOT, False, True
        words += ["--seeds", str(options.seeds)]
    if options.compiled or options.kept:
        _compiled_instead(words, options.kept)
    queue = [
        (number, seed, options.hours)
        for number in sorted(range(len(SHARES)), key=lambda number: -_cost(_setting(number, options.hours)))
        for seed in range(max(1, options.seeds * SHARES[number][0] // 100))
    ]
    happened = _run(queue, options.jobs or os.cpu_count() or 1)
    print(f"{len(queue)} clusters in {len(SHARES)} settings for {options.hours:g} h each: {happened}; no violation")
    if options.record:
        kept = {"sources": simulated_digest(), "shares": SHARES, "seeds": options.seeds, "hours": options.hours}
        PASSED.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


def passed(seeds: int, hours: float) -> bool:
    """Whether the sources, as they are, have passed so much of these settings."""
    try:
        kept = json.loads(PASSED.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    now = [simulated_digest(), [list(share) for share in SHARES]]
    return [kept["sources"], kept["shares"]] == now and kept["seeds"] >= seeds and kept["hours"] >= hours


def _compiled_instead(words: list[str], only_kept: bool) -> None:
    """Become the same program, with what decides compiled; comes back, and says why, where it cannot be."""
    try:
        place = compiled(only_kept=only_kept)
    except SystemExit as reason:
        if not only_kept:
            print(f"the simulation runs interpreted: {reason}", file=sys.stderr, flush=True)
        return
    environment = os.environ | {"PYTHONPATH": str(place)}
    os.execve(sys.executable, [sys.executable, str(Path(__file__).resolve()), *words], environment)


def _run(queue: list[tuple[int, int, float]], jobs: int) -> str:
    """What happened in all runs. Ends the program at the first violation, in the order of the queue."""
    sums: Counter[str] = Counter()
    gc.collect()
    gc.freeze()
    with get_context("fork").Pool(jobs, initializer=gc.set_threshold, initargs=(YOUNG,)) as pool:
        for one, (violated, happened) in zip(queue, pool.imap(_one, queue), strict=True):
            sums.update(happened)
            if violated:
                pool.terminate()
                sys.exit(_play_again(one))
    return ", ".join(f"{number:,} {what}" for what, number in sums.items())


def _one(run: tuple[int, int, float]) -> tuple[bool, dict[str, int]]:
    number, seed, hours = run
    done = run_seed(_setting(number, hours), "", seed)
    happened = {"exchanges": done.exchanges, "faults": done.faults, "promotions": done.promotions}
    return done.violation is not None, happened


def _play_again(run: tuple[int, int, float]) -> int:
    number, seed, hours = run
    command = [sys.executable, "-m", "rppam", "simulate", "--first-seed", str(seed), "--seeds", "1"]
    command += ["--hours", str(hours), *SHARES[number][1].split()]
    print(" ".join(command[2:]), flush=True)
    interpreted = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, check=False, env=interpreted).returncode or 1


def _setting(number: int, hours: float) -> Scenario:
    """What the options of ``rppam simulate`` ask for."""
    words = SHARES[number][1].split()
    asked = dict(zip(words[::2], words[1::2], strict=True))
    default = Scenario()
    return Scenario(
        hours,
        int(asked["--nodes"]),
        asked.get("--profile", default.profile),
        tuple(ALL_FAULTS),
        asked.get("--policy", default.policy),
        int(asked.get("--witnesses", default.witnesses)),
        asked.get("--store", default.store),
    )


def _cost(setting: Scenario) -> int:
    """Roughly what a run takes: shorter leases and more members that vote have more to say."""
    return (
        (setting.nodes + setting.witnesses) * (4 if setting.votes else 1) * (8 if setting.profile != "classic" else 1)
    )


if __name__ == "__main__":
    sys.exit(main())
