"""Ports of 127.0.0.1 for the servers of tests, each given away once.

A port that the kernel picks was free a moment ago, and the kernel picks it again for the next who asks, or for the
near end of any connection: with four workers and their clusters on one machine, that happens. These ports lie below
those that the kernel picks, and all processes of the machine count through them together. It does not keep a stranger
from listening at one: what starts a server still looks whether it did.
"""

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"
FIRST: Final = 20_000
SPOKEN_FOR: Final = {26_379}
"""Ports that examples name."""
EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
COUNTER: Final = Path(tempfile.gettempdir()) / f"rppam-test-ports-{os.getuid()}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free, and that no other test is given for some thousand calls."""
    return free_base(1, 1)


def free_base(count: int, step: int = 10) -> int:
    """The first of ``count`` such ports that lie ``step`` apart; those behind each are given to nobody else."""
    behind = _first_ephemeral()
    width = count * step
    if behind - FIRST < 100 * width:
        raise AssertionError(
            f"{EPHEMERAL} begins at {behind}, which leaves tests no ports of their own from {FIRST} on"
        )
    handle = os.open(COUNTER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        port = int(os.read(handle, 16) or FIRST)
        for _ in range(behind - FIRST):
            if not FIRST <= port <= behind - width:
                port = FIRST
            taken, port = port, port + width
            if all(_is_free(taken + step * number) for number in range(count)):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(port).encode(), 0)
                return taken
    finally:
        os.close(handle)
    raise AssertionError(f"no free port from {FIRST} to {behind}")


def _first_ephemeral() -> int:
    try:
        return int(EPHEMERAL.read_text(encoding="ascii").split()[0])
    except OSError:
        return 32_768


def _is_free(port: int) -> bool:
    if port in SPOKEN_FOR:
        return False
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
