"""What Linux lets a process ask for itself and its children: to die with its parent, to adopt, to be called by a name.

Linux only. What it does not promise: anything about processes that changed their parent or their group themselves.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

CONTROL_NAME: Final = "rppam-control"
WORKER_NAME: Final = "rppam-worker"
GATEWAY_NAME: Final = "rppam-gateway"
TEMPLATE_NAME: Final = "rppam-template"
"""What the processes of a node are called in ``ps``."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_ADOPTED_WITHIN_S: Final = 5.0


def die_with_parent(parent: int) -> None:
    """Be killed when ``parent`` dies, however it dies. Waits until it *is* the parent, if it adopts this process.

    Ends this process when that never comes about, for then the parent is dead already.
    """
    if sys.platform == "win32":
        raise NotImplementedError
    for _ in range(int(_ADOPTED_WITHIN_S / 0.001)):
        if os.getppid() == parent:
            break
        time.sleep(0.001)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it was asked for
        os._exit(1)


def make_undumpable() -> None:
    """Have no core dump of this process, and no debugger of the same account. Lasts until it executes a program."""
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def call_this_process(name: str) -> None:
    """Show ``name`` (at most 15 characters) in ``ps`` and ``top``."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]), 0, 0, 0)


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped by a signal (SIGSTOP, SIGTSTP) or by a debugger."""
    fields = _stat(pid)
    return fields is not None and fields[1][0] in ("T", "t")


def children_of(parent: int) -> dict[int, str]:
    """The names of the children of ``parent``, by process id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))) is not None and int(fields[1][1]) == parent:
            found[int(folder.name)] = fields[0]
    return found


def processes_below(parent: int) -> dict[int, str]:
    """The names of ``parent`` and of all below it, by process id; empty where it has ended."""
    fields = _stat(parent)
    found = {} if fields is None else {parent: fields[0]}
    for child in children_of(parent) if found else ():
        found |= processes_below(child)
    return found


def processes_of_node(holder: int) -> dict[int, str]:
    """The names of all processes of the node whose data directory ``holder`` has locked, the one that began first.

    The lock is held by the control process, which the node's main process watches.
    """
    fields = _stat(holder)
    if fields is None:
        return {}
    is_control = fields[0] == CONTROL_NAME and int(fields[1][1]) > 1
    return processes_below(int(fields[1][1]) if is_control else holder)


def holders_of(file: Path) -> list[int]:
    """The processes that hold a lock (flock) of ``file``, as /proc/locks says; empty where that cannot be told.

    Of those in other containers it says no process id, so they are missing.
    """
    try:
        inode = file.stat().st_ino
        lines = Path("/proc/locks").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    locks = [line.split() for line in lines if "->" not in line]  # with an arrow: one that waits
    return [
        int(fields[4])
        for fields in locks
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode) and int(fields[4]) > 0
    ]


def _stat(pid: int) -> tuple[str, list[str]] | None:
    """Its name, and the fields of /proc/PID/stat from the state on; see proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return name, rest.split()


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
