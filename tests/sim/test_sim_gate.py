"""The gate's simulation: what it runs is what the command would, and a violation ends it."""

import shlex
import sys
from pathlib import Path

import pytest

from rppam_sim.campaign import Run
from rppam_sim.cli import command
from rppam_sim.setting import Scenario
from rppam_sim.verdict import Violation
from scripts import compile_sim, sim_gate
from scripts.sim_gate import SHARES

BROKEN = 3
pytestmark = [pytest.mark.integration, pytest.mark.beside]


def test_the_shares_are_hundredths_and_settings_of_the_command() -> None:
    assert sum(share for share, _ in SHARES) == 100
    for number, (_, words) in enumerate(SHARES):
        asked = command.make_context("simulate", shlex.split(words)).params
        setting = sim_gate._setting(number, 0.5)
        default = Scenario()
        assert setting == Scenario(
            0.5,
            asked["nodes"] or default.nodes,
            asked["profile"] or default.profile,
            default.faults,
            asked["policy"] or default.policy,
            asked["witnesses"] or default.witnesses,
            asked["store"] or default.store,
        )


def test_all_seeds_run_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_gate, "run_seed", lambda _setting, _plant, seed: Run(seed, 1, 0, 0, 0, None))
    monkeypatch.setattr("sys.argv", ["sim_gate", "--seeds", "1000"])
    assert sim_gate.main() == 0
    assert "1000 clusters in 24 settings" in capsys.readouterr().out


def test_compiled_it_becomes_another_process_and_where_it_cannot_be_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim_gate, "run_seed", lambda _setting, _plant, seed: Run(seed, 1, 0, 0, 0, None))
    monkeypatch.setattr("sys.argv", ["sim_gate", "--seeds", "100", "--compiled"])

    def fails(*, only_kept: bool) -> Path:
        raise SystemExit("there is no compiler")

    monkeypatch.setattr(sim_gate, "compiled", fails)
    assert sim_gate.main() == 0
    said = capsys.readouterr()
    assert "the simulation runs interpreted: there is no compiler" in said.err
    assert "100 clusters in 24 settings" in said.out

    def becomes(program: str, words: list[str], environment: dict[str, str]) -> None:
        assert (program, words[0], words[2:]) == (sys.executable, sys.executable, ["--seeds", "100"])
        assert environment["PYTHONPATH"] == str(tmp_path)
        raise InterruptedError

    monkeypatch.setattr(sim_gate, "compiled", lambda only_kept: tmp_path)
    monkeypatch.setattr("os.execve", becomes)
    with pytest.raises(InterruptedError):
        sim_gate.main()


def test_sources_that_have_passed_are_spot_checked_and_changed_ones_run_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sim_gate, "run_seed", lambda _setting, _plant, seed: Run(seed, 1, 0, 0, 0, None))
    monkeypatch.setattr(sim_gate, "PASSED", tmp_path / "passed.json")

    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["sim_gate", "--seeds", "1000", "--unless-passed", *words])
        assert sim_gate.main() == 0
        return capsys.readouterr().out

    def nothing_kept(*, only_kept: bool) -> Path:
        assert only_kept, "few seeds do not pay for a compiler"
        raise SystemExit

    monkeypatch.setattr(sim_gate, "compiled", nothing_kept)
    assert "1000 clusters in 24 settings" in said()
    assert "1000 clusters in 24 settings" in said("--record")
    passed = said()
    assert "have passed 1000 clusters before" in passed
    assert "100 clusters in 24 settings" in passed
    assert "1000 clusters" in said("--hours", "2"), "longer runs have not passed"
    monkeypatch.setattr(sim_gate, "simulated_digest", lambda: "another")
    assert "1000 clusters in 24 settings" in said()


def test_what_the_sources_of_an_hour_are_follows_their_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "rppam_sim/world.py": "from rppam.kernel.instant import after",
        "rppam_sim/cli.py": "import rppam.cli",
        "rppam/cluster/consensus/vote.py": "",
        "rppam/kernel/instant.py": "from rppam.kernel import fence",
        "rppam/kernel/fence.py": "",
        "rppam/cli/__init__.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(compile_sim, "SRC", tmp_path)
    seen = {compile_sim.simulated_digest()}
    (tmp_path / "rppam/cli/__init__.py").write_text("1")
    assert compile_sim.simulated_digest() in seen
    for name in ("rppam_sim/world.py", "rppam/cluster/consensus/vote.py", "rppam/kernel/fence.py"):
        with (tmp_path / name).open("a") as file:
            file.write("\n")
        now = compile_sim.simulated_digest()
        assert now not in seen
        seen.add(now)


def test_a_violation_is_played_again_by_the_command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_seed(setting: Scenario, _plant: str, seed: int) -> Run:
        bad = seed == BROKEN and setting.store == "sentinel"
        return Run(seed, 1, 0, 0, 0, Violation("S1", 0, "two leaders") if bad else None)

    monkeypatch.setattr(sim_gate, "run_seed", run_seed)
    monkeypatch.setattr("sys.argv", ["sim_gate", "--seeds", "200", "--hours", "0.1", "--jobs", "2"])
    with pytest.raises(SystemExit) as ended:
        sim_gate.main()
    assert ended.value.code == 1
    said = capfd.readouterr().out
    assert f"rppam simulate --first-seed {BROKEN} --seeds 1 --hours 0.1 " in said
    assert "--store sentinel" in said
