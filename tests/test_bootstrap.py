"""The set-up script: quick when there is nothing to do, clear when there is nothing to do it with."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
