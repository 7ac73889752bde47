"""A host that lets a process open too few files: said at the start, in one sentence, and never with a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rppam.kernel.errors import Exit

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="limits of files are set in another way there"),
]


def run_with(files: int, *words: str) -> subprocess.CompletedProcess[str]:
    """``rppam`` with that limit of open files, which it cannot raise."""
    return subprocess.run(
        ["prlimit", f"--nofile={files}:{files}", sys.executable, "-m", "rppam", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> str:
    place = tmp_path / "rppam.config"
    place.write_text(json.dumps({"node": {"nodeName": "node1", "dataDir": str(tmp_path / "data")}}))
    place.chmod(0o600)
    return str(place)


@pytest.mark.parametrize("word", ["node", "witness"])
@pytest.mark.parametrize("files", [20, 127])
def test_a_node_that_may_open_too_few_files_does_not_start_and_says_what_to_raise(
    word: str, files: int, config: str
) -> None:
    ended = run_with(files, word, "--config", config)
    assert ended.returncode == Exit.CONFIGURATION
    assert (
        f"the limit of open files (RLIMIT_NOFILE): expected at least {128 if files > 32 else 32}, found {files}."
        in ended.stderr
    )
    assert "LimitNOFILE" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("files", [5, 20, 31, 40])
@pytest.mark.parametrize("words", [("--help",), ("config", "check"), ("status",), ("doctor",)])
def test_no_command_dies_of_an_exception_that_nobody_handled(words: tuple[str, ...], files: int, config: str) -> None:
    given = {"config": [config], "status": ["--config", config], "doctor": ["--config", config]}.get(words[0], [])
    ended = run_with(files, *words, *given)
    if "rppam" in ended.stderr or ended.stdout:  # below some eight files Python itself does not start
        assert "Traceback" not in ended.stderr + ended.stdout, ended.stderr


def test_a_low_limit_is_raised_where_the_system_lets_it() -> None:
    said = subprocess.run(
        [
            *("prlimit", "--nofile=25:5000", sys.executable, "-c"),
            "from rppam.process.open_files import ensure_files; ensure_files(); import resource;"
            "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert said.stdout.strip() == "4096"
