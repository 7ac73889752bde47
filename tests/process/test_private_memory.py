"""A process that keeps its memory to itself: no core dump where one would be written, no look from its own account."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="Linux only"),
]

PROGRAM = """
import ctypes, os, resource, sys
sys.path.insert(0, sys.argv[1])
from rppam.process import linux
from rppam.process.private_memory import keep_from_dumps
most = resource.RLIM_INFINITY if os.getuid() == 0 else resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (most, most))
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process that has always been of this account
if sys.argv[2] == "kept":
    keep_from_dumps()
if os.fork() == 0:
    print("copy", resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
    try:
        open(f"/proc/{os.getppid()}/mem", "rb").close()
        print("read", flush=True)
    except OSError:
        print("refused", flush=True)
    os._exit(0)
os.wait()
os.abort()
"""


def run(how: str, folder: Path) -> tuple[list[str], bool]:
    """What the program printed, and whether the kernel says that it dumped its memory, into the folder or elsewhere."""
    source = Path(__file__).parents[2] / "src"
    command = [sys.executable, "-I", "-c", PROGRAM, str(source), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    assert process.stdout is not None
    said = process.stdout.read().split()
    _, status = os.waitpid(process.pid, 0)
    process.stdout.close()
    process.returncode = status
    assert os.WTERMSIG(status) == signal.SIGABRT
    return said, os.WCOREDUMP(status) or any(folder.iterdir())


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every account may write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_no_dump_and_no_look_from_the_same_account(folder: Path) -> None:
    said, dumped = run("kept", folder)
    assert said == ["copy", "0", "refused"], "a copy of the process has the limit, too"
    assert not dumped
    said, dumped = run("open", folder)
    assert said[2] == "read", "what is kept from is possible here"
    if not dumped:
        pytest.skip("this host writes no core dump of any process")
