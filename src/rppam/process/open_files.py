"""How many files, sockets among them, this process may have open: raised where the system allows it.

A node does not start with fewer than :data:`LEAST`: it would lose its database, its promise file or its members one
after the other, each with an error of its own. What it does not promise: that they suffice for all clients.
"""

import sys
from typing import Final

from rppam.kernel.platform_errors import TooFewFilesError

LEAST: Final = 128
"""A node holds some 40 in each process, and one for each client."""
LEAST_FOR_A_COMMAND: Final = 32
WANTED: Final = 4_096
"""A lower limit is raised to this where it may be."""


def ensure_files(least: int = LEAST) -> None:
    """Raise this process's own limit, or TooFewFilesError where it stays below ``least``."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED:
        return
    more = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if more > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        except (OSError, ValueError):  # what was allowed before counts
            more = soft
    if max(soft, more) < least:
        raise TooFewFilesError(max(soft, more), least)
