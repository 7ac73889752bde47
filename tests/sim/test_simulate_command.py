"""``rppam simulate``, as somebody types it."""

import json
import subprocess
import sys

import pytest

from rppam.cluster.consensus.candidate import Standby
from rppam.cluster.consensus.lease import Sent
from rppam.cluster.consensus.record import Record
from rppam.kernel.instant import Instant
from rppam_sim.campaign import run_seed
from rppam_sim.faults import FAULTS
from rppam_sim.member_faults import ALL_FAULTS, MEMBER_FAULTS
from rppam_sim.plants import PLANTS
from rppam_sim.setting import POLICIES, STORES, Scenario
from rppam_sim.world import World

pytestmark = pytest.mark.integration


def simulate(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rppam", "simulate", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_json_is_the_same_for_equal_options_whatever_the_number_of_processes() -> None:
    one = simulate("--json", "--seeds", "9", "--hours", "0.3", "--jobs", "1")
    two = simulate("--json", "--seeds", "9", "--hours", "0.3", "--jobs", "2")
    assert one.returncode == two.returncode == 0
    assert one.stdout == two.stdout
    report = json.loads(one.stdout)
    assert (report["seeds"], report["clusterHours"], report["violation"]) == (9, 2.7, None)
    assert report["promotions"] > 9
    assert one.stderr == ""


def test_a_planted_bug_is_found_at_the_lowest_seed_and_told_in_sentences() -> None:
    one = simulate("--json", "--plant", "old-reply-counts", "--seeds", "60", "--jobs", "1")
    two = simulate("--json", "--plant", "old-reply-counts", "--seeds", "60", "--jobs", "2")
    assert one.returncode == two.returncode == 1
    assert one.stdout == two.stdout
    seed = json.loads(one.stdout)["violation"]["seed"]
    told = simulate("--plant", "old-reply-counts", "--first-seed", str(seed), "--seeds", "1")
    assert told.returncode == 1
    assert f"Seed {seed} violates S1." in told.stdout
    assert "store: " in told.stdout
    assert "leads at epoch" in told.stdout
    assert f"Again: rppam simulate --first-seed {seed}" in told.stdout


def test_a_plant_that_its_faults_cannot_show_is_not_found_and_that_is_no_violation() -> None:
    outcome = simulate("--plant", "deadline-from-reply", "--faults", "none", "--seeds", "3")
    assert outcome.returncode == 0
    assert "Not found" in outcome.stdout


@pytest.mark.parametrize(("option", "known"), [("--plant", PLANTS), ("--faults", ALL_FAULTS)])
def test_lists_are_one_name_and_one_sentence_a_line(option: str, known: dict[str, object]) -> None:
    outcome = simulate(option, "list")
    assert outcome.returncode == 0
    rows = [line.split("  ", 1) for line in outcome.stdout.splitlines()]
    assert [name for name, _ in rows] == list(known)
    assert all(sentence and name == name.lower() and " " not in name for name, sentence in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--plant", "absence-as-permision"), "did you mean 'absence-as-permission'?"),
        (("--faults", "pause,store-flsh"), "did you mean 'store-flush'?"),
        (("--hours", "0"), "more than 0"),
        (("--hours", "nan"), "more than 0"),
        (("--nodes", "10"), "from 1 to 9, found 10"),
        (("--policy", "most"), "'record', 'last-man-standing', 'majority'"),
        (("--witnesses", "1"), "a witness votes"),
        (("--profile", "fast"), "'classic', 'default', 'lan'"),
    ],
)
def test_wrong_usage_is_told_with_the_way_out(words: tuple[str, ...], said: str) -> None:
    outcome = simulate(*words)
    assert outcome.returncode == 2
    assert said in outcome.stderr


@pytest.mark.parametrize("policy", POLICIES)
def test_without_faults_one_leader_is_made_and_stays(policy: str) -> None:
    for nodes in range(1, 6):
        for profile, hours in (("classic", 0.2), ("default", 0.03), ("lan", 0.01)):
            run = run_seed(Scenario(hours, nodes, profile, (), policy), "", 1)
            assert (run.violation, run.promotions, run.faults) == (None, 1, 0)


@pytest.mark.parametrize("nodes", [1, 2, 4])
@pytest.mark.parametrize("store", STORES)
def test_a_witness_makes_no_difference_while_nothing_is_wrong(nodes: int, store: str) -> None:
    run = run_seed(Scenario(0.05, nodes, "default", (), "majority", 1, store), "", 1)
    assert (run.violation, run.promotions, run.faults) == (None, 1, 0)


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_fault_strikes_and_alone_it_breaks_nothing(kind: str) -> None:
    runs = [run_seed(Scenario(0.5, 3, "classic", (kind,)), "", seed) for seed in range(4)]
    assert all(run.violation is None for run in runs)
    assert FAULTS[kind].strike is None or any(run.faults for run in runs)


@pytest.mark.parametrize("seeds", [(0, 2), (4, 6)], ids=["two", "others"])
@pytest.mark.parametrize("kind", MEMBER_FAULTS)
def test_every_fault_of_members_strikes_and_alone_it_breaks_nothing(kind: str, seeds: tuple[int, int]) -> None:
    fault = MEMBER_FAULTS[kind]
    kinds = (kind, "crash") if kind == "disk-loss" else (kind,)
    settings = [
        Scenario(0.5, 3, "classic", kinds, policy, 0, "sentinel") for policy in ("last-man-standing", "majority")
    ]
    runs = [run_seed(setting, "", seed) for setting in settings for seed in seeds]
    assert all(run.violation is None for run in runs)
    assert fault.strike is None or any(run.faults for run in runs)


def test_a_node_that_reads_the_record_without_a_pause_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_is = Standby.found

    def in_a_hurry(self: Standby, sent: Sent, record: Record, now: Instant) -> None:
        as_it_is(self, sent, record, now)
        self.state.hurry(now)

    monkeypatch.setattr(Standby, "found", in_a_hurry)
    violation = World(7, Scenario(0.3)).run()
    assert violation is not None
    assert violation.law == "spin"
    assert "times within a heartbeat" in violation.sentence


def test_keeping_a_transcript_changes_nothing() -> None:
    worlds = [World(7, Scenario(0.3), tracing=tracing) for tracing in (False, True)]
    assert [world.run() for world in worlds] == [None, None]
    plain, traced = worlds
    assert (plain.exchanges, plain.judge.promotions) == (traced.exchanges, traced.judge.promotions)
    assert len(traced.transcript.lines) == 60
    assert not plain.transcript.lines
