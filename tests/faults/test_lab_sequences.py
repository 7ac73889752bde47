"""A seed is a plan: reproducible, within its time, and of every kind; results are resumed, not repeated."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.faults.lab.randomly import ATTEMPTS, judged, keys, main, page, run, same
from tests.faults.lab.sequences import NODE_KINDS, SEQUENCE_MS, STORE_KINDS, plan

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("store", ["single", "aof", "sentinel"])
def test_a_seed_is_a_plan(store: str) -> None:
    plans = [plan(seed, store) for seed in range(300)]
    assert plans == [plan(seed, store) for seed in range(300)]
    assert len({one.faults for one in plans}) == 300
    for one in plans:
        assert one.faults
        assert all(0 < fault.at_ms <= fault.at_ms + fault.for_ms <= SEQUENCE_MS for fault in one.faults)
        assert list(one.faults) == sorted(one.faults)
    used = Counter(fault.kind.verb for one in plans for fault in one.faults)
    assert set(used) == {kind.verb for kind in (*NODE_KINDS, *STORE_KINDS) if store in kind.stores}
    assert {one.shared_database for one in plans} == {True, False}


def test_a_plan_reads_as_text() -> None:
    one = plan(1, "aof", "majority")
    assert one.text().startswith("sequence 1 aof majority: 3 nodes, ")
    assert len(one.text().splitlines()) == 1 + len(one.faults)


def test_a_policy_makes_another_plan_of_the_same_seed() -> None:
    assert plan(1, "aof", "majority").faults != plan(1, "aof", "last-man-standing").faults


def test_a_witness_is_a_target_where_there_is_one() -> None:
    def targets(witness: bool) -> set[str]:
        plans = [plan(seed, "aof", "majority", 2, witness=witness) for seed in range(50)]
        return {fault.target for one in plans for fault in one.faults}

    assert targets(witness=True) - targets(witness=False) == {"witness"}


def test_seeds_take_turns_over_stores_and_policies() -> None:
    ways = [(key["store"], key["policy"]) for key in keys(7, 12, ["single", "aof"], ["majority", None], 3)]
    assert Counter(ways) == {(store, policy): 3 for store in ("single", "aof") for policy in ("majority", None)}


def test_what_has_a_verdict_is_not_run_again(tmp_path: Path) -> None:
    results = tmp_path / "random.jsonl"
    rows = [{**key, "outcome": "ok"} for key in keys(1, 3, ["aof"], [None], 3)]
    rows[1]["outcome"] = "error"
    rows[2]["outcome"] = "violation"
    results.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"seed": 4, "outco')
    had = judged(results)
    assert [row["seed"] for row in had] == [1, 3]
    wanted = list(keys(1, 4, ["aof"], [None], 3))
    assert [key["seed"] for key in wanted if not any(same(key, row) for row in had)] == [2, 4]
    other = list(keys(1, 4, ["aof"], [None], 5))
    assert not any(same(key, row) for key in other for row in had), "five nodes are another series"


class Stumbling:
    """A sequence whose lab fails so many times as its seed says."""

    begun: ClassVar[Counter[int]] = Counter()

    def __init__(self, key: dict[str, Any], timelines: Path) -> None:
        self.key, self.timelines = key, timelines
        self.begun[key["seed"]] += 1

    def result(self) -> dict[str, Any]:
        if self.begun[self.key["seed"]] <= self.key["seed"]:
            return {**self.key, "outcome": "error", "why": "no room"}
        return {**self.key, "outcome": "violation", "violations": ["two led"]}

    def kill(self) -> None:
        pass


def test_a_sequence_without_a_verdict_is_tried_again_after_the_others(tmp_path: Path) -> None:
    results = tmp_path / "random.jsonl"
    Stumbling.begun = Counter()
    wanted = list(keys(0, ATTEMPTS + 1, ["aof"], ["majority"], 3))
    rows = run(wanted, results, 1, Stumbling, apart_s=0)
    assert [row["seed"] for row in rows[: len(wanted)]] == [0, 1, 2, 3], "each once before any is tried again"
    assert [row["seed"] for row in judged(results)] == [0, 1, 2]
    assert Stumbling.begun == {0: 1, 1: 2, 2: 3, 3: ATTEMPTS}, "not for ever"


def test_the_page_counts_each_way_apart_and_what_was_violated() -> None:
    fine = {
        "outcome": "ok", "server": "redis-8", "leader_ms": 20.0, "answers": 1_000, "faults": 5, "leaderships": 2,
        "writes_accepted": 70, "writes_unknown": 1, "reads": 300,
    }  # fmt: skip
    rows = [{**key, **fine} for key in keys(0, 5, ["aof", "single"], [None], 3)]
    rows += [{**key, **fine} for key in keys(0, 1, ["aof"], ["majority"], 2, witness=True)]
    rows[1] |= {"outcome": "violation", "violations": ["two led"]}
    text = page({"system": "a machine"}, rows, 3)
    assert "| aof | majority | 2 and a witness | 1 | 5 | 2 | 0 |" in text
    assert "| aof | record | 3 | 3 | 15 | 6 | 0 |" in text
    assert "| single | record | 3 | 2 | 10 | 4 | 1 |" in text
    assert "6 sequences with a verdict, 1 with a violation." in text
    assert "25 faults, 10 leaderships, 5,000 answers, 350 guarded writes accepted and 5 unknown, 1,500 reads." in text
    assert "Servers: redis-8 in 6." in text


def test_unknown_stores_and_policies_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--stores", "aof,papyrus", "--policies", "monarchy"])
    assert "unknown: monarchy, papyrus" in capsys.readouterr().err
