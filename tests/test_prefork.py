"""A command that is forked from a process that has imported all does what one does that starts afresh."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from rppam.process.linux import children_of
from tests.support import prefork
from tests.support.lab import CALM
from tests.support.lab_fixtures import MakeLab

pytestmark = pytest.mark.integration
PROCESSES = ["rppam-control", "rppam-template", "rppam-worker", "rppam-worker"]


@pytest.fixture(params=["a copy", "afresh"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv(prefork.COLD, raising=False)
    if request.param == "afresh":
        monkeypatch.setenv(prefork.COLD, "1")
    return str(request.param)


def test_exit_codes_output_input_environment_and_folder_are_those_of_a_command(way: str, tmp_path: Path) -> None:
    wrong = prefork.run("--bogus")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("rppam: No such option '--bogus'.\nUsage: rppam [OPTIONS]"), wrong.stderr
    read = prefork.run("config", "parse-connection", "-", "--json", input_="h,password=pä,ssl=true")
    assert read.returncode == 0, read.stderr
    assert json.loads(read.stdout)["ssl"] is True
    named = prefork.run("config", "check", environment=prefork.clean(RPPAM_CONFIG="/nowhere/a.config"))
    assert (named.returncode, "/nowhere/a.config" in named.stderr) == (78, True)
    (tmp_path / "b.config").write_text("{")
    near = prefork.run("config", "check", "b.config", folder=tmp_path)
    assert (near.returncode, "b.config" in near.stderr) == (78, True)


def test_a_node_has_its_processes_in_a_session_and_ends_by_signals(way: str, make_lab: MakeLab) -> None:
    lab = make_lab(nodes=1, times=CALM)
    [first] = lab.nodes
    first.start()
    lab.wait_until_healthy(within_s=60)
    assert first.process is not None
    children = children_of(first.process.pid)
    assert sorted(children.values()) == PROCESSES
    for pid in (first.process.pid, *children):
        assert ("prefork" in " ".join(psutil.Process(pid).cmdline())) is (way == "a copy"), children.get(pid)
    assert len(first.pids()) == 1 + len(PROCESSES)
    assert first.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.process.wait(0.1)
    first.term()
    assert (first.wait(), first.process.returncode) == (0, 0)
    assert not first.pids()
    first.start()
    first.kill()
    assert first.process.returncode == -signal.SIGKILL


def test_a_copy_dies_with_the_tests(tmp_path: Path) -> None:
    script = (
        "import pytest, sys; from tests.support import prefork\n"
        f"node = prefork.start('simulate', '--seeds', '100000', output=open({str(tmp_path / 'log')!r}, 'wb'))\n"
        "print(node.pid, flush=True); sys.stdin.read()"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", script], cwd=prefork.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert tests.stdin is not None
    assert tests.stdout is not None
    with tests.stdin, tests.stdout:
        copy = psutil.Process(int(tests.stdout.readline()))
        tests.kill()
        tests.wait()
    psutil.wait_procs([copy], timeout=20)
    assert not copy.is_running()


def test_threads_may_ask_for_its_end_at_once(tmp_path: Path) -> None:
    with (tmp_path / "said").open("wb") as output:
        process = prefork.start("--version", output=output)
    with ThreadPoolExecutor(4) as threads:
        ends = [threads.submit(process.wait, 30) for _ in range(4)]
        assert [one.result() for one in ends] == [0] * 4
    assert process.poll() == 0
