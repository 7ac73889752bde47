"""The set-up script: quick when there is nothing to do, clear when there is nothing to do it with."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts import bootstrap, on_newest
from scripts.bootstrap import POLICY_TEXT, VENV, link_command, locked, no_service_starts, probe

pytestmark = pytest.mark.integration

SETUP = Path(__file__).parents[1] / "scripts" / "setup"


def set_up(group: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SETUP, group], env=os.environ | extra, capture_output=True, text=True, check=False, timeout=120
    )


def test_a_second_run_does_nothing_and_takes_no_time() -> None:
    set_up("dev")
    begun = time.monotonic()
    done = set_up("dev")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert set_up("runtime").stderr == ""  # the dev lock holds all of it
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize("python", ["/nowhere/python3", "/bin/false"])
def test_a_python_that_does_not_run_is_named_with_the_cure(python: str) -> None:
    done = set_up("dev", PYTHON=python)
    assert done.returncode == 1
    assert f"no Python 3.11 or newer found at PYTHON={python}" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_a_python_is_judged_by_running_it() -> None:
    found = probe(sys.executable)
    assert found is not None
    assert found[1] == sys.version_info[:2]
    assert probe("/bin/false") is None


def test_no_service_starts_while_packages_are_installed_and_then_may_again(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with no_service_starts(policy):
        assert subprocess.run([policy], check=False).returncode == 101  # "action forbidden by policy"
    assert not policy.exists()
    policy.write_text(POLICY_TEXT)  # as a run that was killed leaves it
    with no_service_starts(policy):
        assert policy.exists()
    assert not policy.exists()


def test_a_policy_of_the_administrator_is_left_alone(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    with no_service_starts(policy):
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()


def test_the_command_of_a_host_is_a_link_that_takes_no_other_place(tmp_path: Path) -> None:
    place = tmp_path / "rppam"
    for _ in range(2):
        link_command(place)
        assert place.readlink() == VENV / "bin" / "rppam"
    place.unlink()
    place.write_text("another program")
    with pytest.raises(SystemExit):
        link_command(place)
    assert place.read_text() == "another program"


def test_two_runs_wait_for_each_other(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from scripts.bootstrap import locked\n"
        "with locked(Path(sys.argv[2])): print('mine', flush=True)"
    )
    command = [sys.executable, "-c", code, str(SETUP.parents[1]), str(tmp_path)]
    with locked(tmp_path):
        other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=1)
    assert other.communicate(timeout=20)[0] == "mine\n"


def test_the_newest_python_is_looked_for_beside_an_older_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own, newest = str(VENV / "bin" / "python"), "/usr/bin/python3.13"
    found = {own: ("a", (3, 11), True), newest: ("b", (3, 13), False)}
    monkeypatch.setattr(bootstrap, "probe", found.get)
    assert (bootstrap.newest_python(), bootstrap.lacks_newest()) == ("b", False)
    del found[newest]
    assert (bootstrap.newest_python(), bootstrap.lacks_newest()) == (None, True)
    found[own] = ("a", (3, 13), True)
    assert (bootstrap.newest_python(), bootstrap.lacks_newest()) == (None, False)


def test_without_the_newest_python_its_tests_are_skipped_by_name_and_fail_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(on_newest, "NEWEST", (99, 0))
    monkeypatch.setattr(on_newest, "NEWEST_VENV", tmp_path)
    monkeypatch.setenv("CI", "1")
    assert on_newest.main() == 1
    assert "apt-get install python99.0" in capsys.readouterr().out
    monkeypatch.delenv("CI")
    assert on_newest.main() == 0
    monkeypatch.setattr(on_newest, "NEWEST", (3, 0))
    assert on_newest.main() == 0
    assert "all tests run on it" in capsys.readouterr().out
