"""``rppam simulate``: the production election under seeded faults, in virtual time.

Prints what was run and whether a property was broken; with a violation, the seed and the last lines of what happened.
It decides nothing. Exit codes: 0 no violation, 1 a violation (also when a planted bug was found), 2 wrong usage.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from rppam.cluster.consensus.membership import QuorumPolicy
from rppam.cluster.consensus.timing import PROFILES
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam_sim.campaign import Outcome
    from rppam_sim.setting import Scenario

EPILOG = """\b
Examples:
  rppam simulate --seeds 200 --nodes 5
  rppam simulate --policy majority --nodes 2 --witnesses 1 --store sentinel
  rppam simulate --faults pause,store-flush --json
  rppam simulate --plant deadline-from-reply
  rppam simulate --plant list"""
HOURS_MOST = 10_000.0
SEEDS = 100
SEEDS_FOR_A_PLANT = 3_000


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.option(
    "--seeds", type=click.IntRange(1, 10**9), help="How many runs.  [default: 100; with --plant 3000, at most]"
)
@click.option("--first-seed", default=0, show_default=True, type=click.IntRange(0, 10**15), help="The first seed.")
@click.option("--hours", default=1.0, show_default=True, type=float, help="Simulated hours per run.")
@click.option("--nodes", type=click.IntRange(1, 9), help="Nodes per cluster.  [default: 3]")
@click.option(
    "--policy",
    type=click.Choice(["record", *(policy.value for policy in QuorumPolicy)]),
    help="Who votes: the record and the node alone, or the members as well, as cluster.quorumPolicy says.  "
    "[default: record]",
)
@click.option("--witnesses", type=click.IntRange(0, 3), help="Members that vote and never stand.  [default: 0]")
@click.option(
    "--store",
    type=click.Choice(["single", "sentinel"]),
    help="One server; or one with replicas that confirm each write, and take its place.  [default: single]",
)
@click.option(
    "--profile",
    type=click.Choice(sorted(PROFILES)),
    help="Timings. The rule knows only their ratios; 'classic' (a lease of 30 s) costs the least to simulate.  "
    "[default: classic, or as a planted bug shows]",
)
@click.option("--faults", metavar="LIST", help="Kinds of faults, by commas; 'none'; 'list' prints them. Default: all.")
@click.option(
    "--plant",
    metavar="BUG",
    help="Run with a planted bug, in a cluster that shows it, and stop when it is found; 'list' prints them.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, the same for equal options.")
@click.option("--jobs", type=click.IntRange(1, 1024), help="Processes at a time.  [default: one per core]")
def command(
    seeds: int | None,
    first_seed: int,
    hours: float,
    nodes: int | None,
    policy: str | None,
    witnesses: int | None,
    store: str | None,
    profile: str | None,
    faults: str | None,
    plant: str | None,
    as_json: bool,
    jobs: int | None,
) -> int:
    """Run the election under seeded faults and check its properties.

    The code that leads in production runs here in a made-up world: virtual time, clocks that drift and step, a network
    that delays, loses and repeats, processes that stop and die, a store that forgets, members whose links and disks
    fail. At every step: never two nodes with permission to lead (S1), epochs that only go up (S2), no guarded write by
    an old leader (S3), no lease given back before the address is dropped (S4), no promise shortened and no two
    majorities without a common voter (S5). At the end of each hour all faults stop: there must be a leader in time
    (L1), that stays (L5), and bears what it must bear (L4). A seed always does the same.
    """
    from rppam_sim.campaign import run_campaign
    from rppam_sim.member_faults import ALL_FAULTS
    from rppam_sim.plants import PLANTS

    if plant == "list":
        return _print_rows({name: row.sentence for name, row in PLANTS.items()}, as_json=as_json)
    if faults == "list":
        return _print_rows({name: row.sentence for name, row in ALL_FAULTS.items()}, as_json=as_json)
    if not 0 < hours <= HOURS_MOST:  # also refuses NaN
        raise click.BadParameter(
            f"expected more than 0 and at most {HOURS_MOST:.0f} hours, found {hours}", param_hint="--hours"
        )
    if plant is not None and plant not in PLANTS:
        raise _unknown("planted bug", plant, list(PLANTS), "--plant")
    setting = _setting(plant, hours, profile, faults, nodes, policy, witnesses, store)
    if seeds is None:
        seeds = SEEDS if plant is None else SEEDS_FOR_A_PLANT
    with _progress(seeds) as progress:
        outcome = run_campaign(setting, plant or "", range(first_seed, first_seed + seeds), jobs or _cores(), progress)
    if as_json:
        click.echo(json.dumps(_report(outcome, setting, first_seed, plant), indent=2))
    else:
        _tell(outcome, setting, first_seed, plant)
    return Exit.DONE if outcome.failure is None else Exit.NO


def _setting(
    plant: str | None,
    hours: float,
    profile: str | None,
    faults: str | None,
    nodes: int | None,
    policy: str | None,
    witnesses: int | None,
    store: str | None,
) -> "Scenario":
    """What was asked for; the rest as it is by default, or as a planted bug shows."""
    from rppam_sim.member_faults import ALL_FAULTS
    from rppam_sim.plants import PLANTS
    from rppam_sim.setting import Scenario

    shows = Scenario() if plant is None else PLANTS[plant].where
    setting = Scenario(
        hours,
        shows.nodes if nodes is None else nodes,
        profile or shows.profile,
        shows.faults if faults is None else _kinds(faults, list(ALL_FAULTS)),
        policy or shows.policy,
        shows.witnesses if witnesses is None else witnesses,
        store or shows.store,
    )
    if setting.witnesses and not setting.votes:
        raise click.BadParameter(
            "a witness votes; give --policy last-man-standing or majority", param_hint="--witnesses"
        )
    return setting


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _print_rows(rows: dict[str, str], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps([{"name": name, "sentence": sentence} for name, sentence in rows.items()], indent=2))
    else:
        for name, sentence in rows.items():
            click.echo(f"{name}  {sentence}")
    return Exit.DONE


def _kinds(text: str | None, known: list[str]) -> tuple[str, ...]:
    """The kinds of faults that were asked for, each once and in the table's order."""
    if text is None:
        return tuple(known)
    if text.strip() == "none":
        return ()
    wanted = [word.strip() for word in text.split(",")]
    for word in wanted:
        if word not in known:
            raise _unknown("kind of fault", word, known, "--faults")
    return tuple(name for name in known if name in wanted)


def _unknown(what: str, found: str, known: list[str], option: str) -> click.BadParameter:
    near = get_close_matches(found, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"see '{option} list'."
    return click.BadParameter(f"there is no {what} '{found}'; {hint}", param_hint=option)


@contextmanager
def _progress(seeds: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _done: None
        return
    with click.progressbar(length=seeds, label="seeds", file=sys.stderr, show_pos=True) as bar:
        yield lambda _done: bar.update(1)


def _report(outcome: "Outcome", setting: "Scenario", first_seed: int, plant: str | None) -> dict[str, Any]:
    failure = outcome.failure
    return {
        "seeds": outcome.seeds,
        "firstSeed": first_seed,
        "hours": setting.hours,
        "nodes": setting.nodes,
        "policy": setting.policy,
        "witnesses": setting.witnesses,
        "store": setting.store,
        "profile": setting.profile,
        "faults": list(setting.faults),
        "plant": plant,
        "clusterHours": round(outcome.simulated_us / 3.6e9, 3),
        "exchanges": outcome.exchanges,
        "promotions": outcome.promotions,
        "faultsStruck": outcome.faults,
        "violation": None
        if failure is None
        else {
            "seed": failure.seed,
            "property": failure.violation.law,
            "atSeconds": failure.violation.at_us / 1e6,
            "sentence": failure.violation.sentence,
            "transcript": list(failure.transcript),
        },
    }


def _tell(outcome: "Outcome", setting: "Scenario", first_seed: int, plant: str | None) -> None:
    what = f"planted bug '{plant}': " if plant else ""
    last = first_seed + outcome.seeds - 1
    click.echo(
        f"{what}{outcome.seeds} seeds ({first_seed} to {last}), {setting.described}: "
        f"{outcome.simulated_us / 3.6e9:.1f} cluster-hours, {outcome.exchanges} exchanges, {outcome.faults} faults, "
        f"{outcome.promotions} promotions."
    )
    failure = outcome.failure
    if failure is None:
        click.echo("Not found: no violation." if plant else "No violation.")
        return
    click.echo(f"Seed {failure.seed} violates {failure.violation.law}. The last lines of what happened:\n")
    for line in failure.transcript:
        click.echo(f"  {line}")
    again = f"rppam simulate --first-seed {failure.seed} --seeds 1 {setting.options}"
    again += f" --hours {setting.hours:g}" + (f" --plant {plant}" if plant else "")
    if setting.faults != _kinds(None, _all_faults()):
        again += f" --faults {','.join(setting.faults) or 'none'}"
    click.echo(f"\nAgain: {again}")


def _all_faults() -> list[str]:
    from rppam_sim.member_faults import ALL_FAULTS

    return list(ALL_FAULTS)
