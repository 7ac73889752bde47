"""Keep the memory of a process that holds secrets out of core dumps, and from other processes of the same account.

A process that dies by a signal (a watchdog's SIGABRT, a fault in a library) would leave its memory in a file, or with
whatever the host pipes core dumps to. Copies of the process have it so, too; what it executes starts anew. Linux only.
What it does not promise: anything against root, who reads memory where it is; or that memory is never swapped out.
"""

import sys
from contextlib import suppress


def keep_from_dumps() -> None:
    """No core dump of this process and its copies, whatever the host's limits and pipes; no debugger but root's."""
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - not on Windows

    from rppam.process.linux import make_undumpable  # noqa: PLC0415 - the same

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # a sandbox may forbid it; the limit stands
        make_undumpable()
