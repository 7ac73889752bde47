"""The file that says which test is under way on this host, so that the next one can finish what a death has left.

It holds no secret. What it names is cleaned up: the account of the test, and the cluster's note that a test runs. The
node that was taken away comes back by itself; the file only says when.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rppam.cli.files import write_private
from rppam.failover_test.client import TESTS, CannotTestError, Cluster
from rppam.failover_test.sessions import remove

NAME: Final = "failover-test.json"


class Unfinished(NamedTuple):
    """What a test has begun."""

    pid: int
    test: str
    method: str
    url: str
    user: str = ""
    """The id of its account; empty before there was one."""
    fault: str = ""
    """What happened to whom; empty before it did."""


def folder() -> Path:
    """Where it stands: among the state of who runs the test."""
    given = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(given) if given else Path.home() / ".local" / "state") / "rppam"


class StateFile:
    """See the module. Raises CannotTestError where it cannot be written."""

    def __init__(self, place: Path | None = None) -> None:
        self.path: Final = (place or folder()) / NAME

    def write(self, state: Unfinished) -> None:
        """Replace what stands there."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self.path, json.dumps(state._asdict()) + "\n")
        except OSError as error:
            raise CannotTestError(
                f"{self.path} cannot be written ({error.strerror}); it says what to clean up should this command die. "
                "Set XDG_STATE_HOME to a folder of yours"
            ) from None

    def read(self) -> Unfinished | None:
        """What stands there; ``None``: nothing is left."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            return Unfinished(int(found["pid"]), *(str(found[name]) for name in Unfinished._fields[1:]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def drop(self) -> None:
        """Nothing is left any more."""
        with suppress(OSError):
            self.path.unlink()


async def clean_up(cluster: Cluster, file: StateFile) -> str:
    """Finish what a test that died has left; a sentence about it, empty where there was nothing.

    Raises CannotTestError where that test still runs, or where the cluster cannot be cleaned up now.
    """
    left = file.read()
    if left is None:
        return ""
    if left.pid != os.getpid() and _runs(left.pid):
        raise CannotTestError(f"a failover test runs on this host already (process {left.pid}, {file.path})")
    if left.url not in cluster.urls:
        raise CannotTestError(
            f"a test at {left.url} was interrupted, and has to be cleaned up first: run this with --url {left.url}, or "
            f"remove {file.path} if that cluster is gone"
        )
    why = "its command died" + (f" after the fault: {left.fault}" if left.fault else " before the fault")
    await cluster.order("PUT", f"{TESTS}/{left.test}/report", {"verdicts": [], "why": why})
    if left.user:
        await remove(cluster, left.user)
    file.drop()
    gone = " and its account removed" if left.user else ""
    return f"an earlier test ({left.method}) was interrupted, as {why}; it is marked so{gone}"


def _runs(pid: int) -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"failover-test" in command
