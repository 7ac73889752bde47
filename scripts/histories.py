"""What the election did in each of many simulated runs, as digests: to show that a change of the code changes nothing.

``scripts/histories.py`` runs the seeds and compares with ``tests/sim/histories.json``; ``--write`` records. A history
is every effect of every step of every node with its time, and how the run ended. Sentences for people are left out.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from rppam.cluster.consensus import effects as known_effects
from rppam.cluster.consensus.membership import Membership
from rppam_sim.host import Host
from rppam_sim.setting import Scenario
from rppam_sim.world import World

RECORD: Final = Path(__file__).parents[1] / "tests" / "sim" / "histories.json"
LAST, MOST = "last-man-standing", "majority"
GROUPS: Final = {
    **{f"record {nodes}": Scenario(nodes=nodes) for nodes in (2, 3, 4, 5)},
    **{f"record {nodes} sentinel": Scenario(nodes=nodes, store="sentinel") for nodes in (2, 3, 5)},
    **{f"{LAST} {nodes}": Scenario(nodes=nodes, policy=LAST) for nodes in (2, 3, 4, 5, 6, 7)},
    **{f"{LAST} {nodes} sentinel": Scenario(nodes=nodes, policy=LAST, store="sentinel") for nodes in (2, 3, 4)},
    **{f"{MOST} {nodes}": Scenario(nodes=nodes, policy=MOST) for nodes in (3, 4, 5, 6, 7)},
    **{f"{MOST} {nodes} sentinel": Scenario(nodes=nodes, policy=MOST, store="sentinel") for nodes in (3, 4, 5)},
    **{f"{MOST} {nodes}+1": Scenario(nodes=nodes, policy=MOST, witnesses=1) for nodes in (2, 3, 4)},
    **{f"{LAST} {nodes}+1": Scenario(nodes=nodes, policy=LAST, witnesses=1) for nodes in (2, 3)},
    f"{MOST} 2+1 sentinel": Scenario(nodes=2, policy=MOST, witnesses=1, store="sentinel"),
    f"{LAST} 2+1 sentinel": Scenario(nodes=2, policy=LAST, witnesses=1, store="sentinel"),
    "record 3 default": Scenario(nodes=3, profile="default", hours=0.1),
    f"{LAST} 3 default": Scenario(nodes=3, policy=LAST, profile="default", hours=0.1),
    f"{MOST} 3 default": Scenario(nodes=3, policy=MOST, profile="default", hours=0.1),
    f"{MOST} 2+1 lan": Scenario(nodes=2, policy=MOST, witnesses=1, profile="lan", hours=0.03),
}
SEEDS: Final = 60
"""Of each group: some 2,100 runs in all."""
SINGLE: Final = 4
"""So many seeds of each group have a digest of their own, to find the first that differs."""

KINDS: Final[dict[type, str]] = {
    known_effects.Exchange: "exchange",
    known_effects.Ask: "ask",
    known_effects.Free: "free",
    known_effects.Invite: "invite",
    known_effects.AdoptMembership: "adopt",
    known_effects.LearnEpoch: "learn",
    known_effects.ClaimEpoch: "claim",
    known_effects.ConfirmEpoch: "confirm",
    known_effects.Promoted: "promoted",
    known_effects.SteppedDown: "stepped down",
    known_effects.RecordRefuted: "refuted",
    known_effects.Told: "told",
}
SENTENCES: Final = frozenset({"sentence"})


class Recorded(World):
    """A run that digests what it does."""

    def __init__(self, seed: int, setting: Scenario) -> None:
        super().__init__(seed, setting)
        self.digest = blake2b(digest_size=8)
        self.lines: list[str] | None = None
        decided = self.judge.decided

        def digested(host: Host, effects: Sequence[known_effects.Effect], had: int | None, now_us: int) -> None:
            for effect in effects:
                if type(effect) not in KINDS:  # what a member writes and answers shows in what the others do
                    continue
                line = f"{now_us} {host.name} {host.life} {told(effect)}"
                self.digest.update(line.encode())
                if self.lines is not None:
                    self.lines.append(line)
            decided(host, effects, had, now_us)

        self.judge.decided = digested  # type: ignore[method-assign]

    def result(self) -> str:
        """The digest of the whole run."""
        violation = self.run()
        end = f"{self.exchanges} {self.judge.promotions} {self.storm.struck} {violation and violation.law}"
        self.digest.update(end.encode())
        return self.digest.hexdigest()


def told(effect: known_effects.Effect) -> str:
    """An effect without names of classes, fields and whatever is written for people."""
    fields = effect._asdict()
    words = [plain(value) for name, value in fields.items() if name not in SENTENCES]
    return f"{KINDS[type(effect)]} {' '.join(words)}"


def plain(value: Any) -> str:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Membership):
        value = value[:4]  # not by whom it was passed on
    if isinstance(value, tuple):
        return "(" + " ".join(plain(part) for part in value) + ")"
    return value.name if isinstance(value, Host) else repr(value)


class Job(NamedTuple):
    group: str
    seed: int


def digest(job: Job) -> tuple[Job, str]:
    """One run."""
    return job, Recorded(job.seed, GROUPS[job.group]).result()


def grouped(digests: dict[Job, str], group: str, seeds: int) -> dict[str, Any]:
    """What is recorded of a group."""
    single = [digests[Job(group, seed)] for seed in range(seeds)]
    return {"single": single[:SINGLE], "all": blake2b(" ".join(single).encode(), digest_size=16).hexdigest()}


def recorded() -> dict[str, Any]:
    known: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return known


def show(group: str, seed: int) -> None:
    """The history itself, to be compared with another one line by line."""
    world = Recorded(seed, GROUPS[group])
    world.lines = []
    end = world.result()
    print("\n".join(world.lines))
    print(end)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of each group")
    parser.add_argument("--first", type=int, default=0, help="go on at this seed; compared with --keep alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="record what is done now")
    parser.add_argument("--keep", type=Path, help="a file with the digest of each run")
    parser.add_argument("--group", default="", help="only groups whose names begin so")
    parser.add_argument("--show", type=int, metavar="SEED", help="print the history of one seed of --group")
    options = parser.parse_args()
    if options.show is not None:
        show(options.group, options.show)
        return 0
    groups = [group for group in GROUPS if group.startswith(options.group)]
    jobs = [Job(group, seed) for seed in range(options.first, options.seeds) for group in groups]
    digests: dict[Job, str] = {}
    before: dict[str, str] = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    wrong = 0
    with get_context("spawn").Pool(options.jobs) as pool:
        for job, found in pool.imap(digest, jobs):
            digests[job] = found
            if len(digests) % 100 == 0:
                print(f"{len(digests)} of {len(jobs)}", file=sys.stderr, flush=True)
            expected = before.get(f"{job.group}/{job.seed}", found)
            if found != expected:
                wrong += 1
                print(f"differs: '{job.group}', seed {job.seed}", flush=True)
    if options.keep and (options.write or not before):
        options.keep.write_text(json.dumps({f"{job.group}/{job.seed}": found for job, found in digests.items()}))
    rows = {} if options.first else {group: grouped(digests, group, options.seeds) for group in groups}
    if options.write:
        RECORD.write_text(json.dumps({"seeds": options.seeds, "groups": rows}, indent=1) + "\n", encoding="utf-8")
        return 0
    if RECORD.exists():
        known = recorded()
        for group, row in rows.items():
            whole = options.seeds == known["seeds"]
            differs = row["single"] != known["groups"][group]["single"][: options.seeds]
            if differs or (whole and row["all"] != known["groups"][group]["all"]):
                wrong += 1
                print(f"not as recorded: '{group}'")
    print(f"{len(jobs)} histories in {len(groups)} groups: {f'{wrong} differ' if wrong else 'all as before'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
