"""The times of faults: runs are added up to the number that was asked for, judged, and told in a table."""

import json
import os
from pathlib import Path

import pytest

from tests.faults.lab.cluster import server_kind
from tests.faults.lab.net import CAN, WHY_NOT
from tests.faults.lab.repeated import rows_of
from tests.faults.lab.series import POLICY_OF, SERIES, TIMED, USUAL, Key, main, measured, page
from tests.faults.lab.watch import FOLDER

pytestmark = pytest.mark.integration

HOST = Key("host-killed", "default", "last-man-standing", 3, "redis-8")
REDIS = HOST._replace(series="redis-killed")


def row(key: Key, ms: float, *, changed: bool = True, violations: tuple[str, ...] = ()) -> dict[str, object]:
    return {**key._asdict(), "ms": ms, "changed": changed, "violations": list(violations)}


def test_every_fault_that_has_a_time_to_show_is_measured_unless_others_are_named() -> None:
    assert set(USUAL) == set(SERIES) - {"power-off"}
    assert {SERIES[name].store for name in USUAL} == set(POLICY_OF)


def test_only_runs_of_the_same_series_count_and_no_more_than_were_asked_for(tmp_path: Path) -> None:
    results = tmp_path / "times.jsonl"
    rows = [row(HOST, 4_000 + number) for number in range(4)] + [row(HOST._replace(times="lan"), 900), row(REDIS, 7)]
    results.write_text("".join(json.dumps(one) + "\n" for one in rows) + '{"series": "host-killed", "ms"')
    found = measured(HOST, rows_of(results, TIMED), 3)
    assert found.times_ms == [4_000, 4_001, 4_002]
    assert (found.at(0.5), found.at(0.99)) == (4_001, 4_002)


def test_a_leader_that_changes_with_the_store_is_a_failure_and_one_that_was_killed_is_none() -> None:
    assert measured(HOST, [row(HOST, 4_000)], 1).failures == []
    assert measured(REDIS, [row(REDIS, 7, changed=False)], 1).failures == []
    assert measured(REDIS, [row(REDIS, 700)], 1).failures == ["1 times another node led afterwards"]
    assert measured(REDIS, [row(REDIS, 7, changed=False, violations=("two led",))], 1).failures == ["two led"]


def test_the_table_says_what_was_met() -> None:
    slow = measured(HOST, [row(HOST, 4_400), row(HOST, 4_600)], 2)
    calm = measured(REDIS, [row(REDIS, 9, changed=False)], 1)
    text = page({"system": "a machine"}, [slow, calm], "make faults-times")
    begun = "| `kill -9` of everything on the host | default (4000 ms) | last-man-standing | 2 | 4400 ms | 4600 ms "
    assert f"{begun}| 4600 ms | 4500 ms | no | one each | 0 |" in text
    assert "| 1 | 9 ms | 9 ms | 9 ms | - | - | 0 | 0 |" in text


@pytest.mark.parametrize("words", [("--series", "tea"), ("--times", "slow"), ("--policy", "monarchy")])
def test_what_is_unknown_is_refused(words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(list(words))
    assert f"unknown {words[0].removeprefix('--')}: {words[1]}" in capsys.readouterr().err


@pytest.mark.server
@pytest.mark.pair
@pytest.mark.skipif(not (CAN and server_kind().find()) and not os.environ.get("CI"), reason=WHY_NOT)
def test_a_switchover_is_timed_and_a_second_start_has_nothing_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "timelines"))
    results = tmp_path / "times.jsonl"
    words = ["--series", "switchover", "--runs", "1", "--times", "lan", "--results", str(results)]
    assert main(words) == 0
    (only,) = rows_of(results, TIMED)
    assert only["series"] == "switchover"
    assert only["policy"] == "last-man-standing"
    assert only["ms"] > 0
    assert only["changed"]
    assert only["violations"] == []
    assert main(words) == 0
    assert len(rows_of(results, TIMED)) == 1
    assert capsys.readouterr().out.count("switchover           1 runs   p50") == 2
