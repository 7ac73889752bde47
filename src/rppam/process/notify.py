"""What the node tells its service manager: ready, still alive, stopping, and one line of status.

On Linux that is systemd's protocol (sd_notify(3)): datagrams of ``KEY=value`` lines to the socket that
``NOTIFY_SOCKET`` names, a file or, with a leading ``@``, an abstract address. On Windows see ``windows_service``. Where
no manager listens the same calls do nothing.

What it does not promise: delivery. A full or vanished socket never delays or ends the node; the call answers false.
The manager judges by silence: who stops calling :meth:`SystemdNotifier.alive` is restarted.
"""

import os
import socket
import sys
from collections.abc import Mapping
from typing import Final

from rppam.kernel.platform_errors import NotifyAddressError, WatchdogPeriodError
from rppam.process.notifier import Notifier
from rppam.process.windows_service import current_service

_US_PER_MS: Final = 1_000


class NullNotifier:
    """Nobody listens: a terminal, a container without a manager."""

    alive_every_ms: int | None = None

    def ready(self, status: str) -> bool:  # noqa: ARG002 - the port's name
        """Tell nobody."""
        return False

    def status(self, text: str) -> bool:  # noqa: ARG002 - the port's name
        """Tell nobody."""
        return False

    def alive(self) -> bool:
        """Tell nobody."""
        return False

    def stopping(self, status: str) -> bool:  # noqa: ARG002 - the port's name
        """Tell nobody."""
        return False


class SystemdNotifier:
    """systemd listens."""

    def __init__(self, address: str, alive_every_ms: int | None = None) -> None:
        """``address``: a path, or ``@`` and an abstract name. NotifyAddressError for anything else."""
        if not address.startswith(("/", "@")) or len(address) < 2:
            raise NotifyAddressError(address)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.alive_every_ms = alive_every_ms
        self._socket = _datagrams(address)

    def ready(self, status: str) -> bool:
        """``READY=1``: `systemctl start` returns now."""
        return self._tell("READY=1", _status_line(status))

    def status(self, text: str) -> bool:
        """``STATUS=``."""
        return self._tell(_status_line(text))

    def alive(self) -> bool:
        """``WATCHDOG=1``."""
        return self._tell("WATCHDOG=1")

    def stopping(self, status: str) -> bool:
        """``STOPPING=1``."""
        return self._tell("STOPPING=1", _status_line(status))

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _tell(self, *lines: str) -> bool:
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # full, or the manager is gone: nothing that may stop a node
            return False
        return True


def _datagrams(address: str) -> socket.socket:
    if sys.platform == "win32":  # no unix sockets in Python there
        raise NotifyAddressError(address)
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


def _status_line(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # a line break would start another key


def watchdog_period_ms(environment: Mapping[str, str], pid: int) -> int | None:
    """Half of the interval after which systemd ends us, as sd_watchdog_enabled(3) advises; ``None`` if it does not.

    WatchdogPeriodError when ``WATCHDOG_USEC`` is not a positive whole number.
    """
    text = environment.get("WATCHDOG_USEC")
    if not text or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise WatchdogPeriodError(text)
    return max(1, int(text) // 2 // _US_PER_MS)


def notifier(environment: Mapping[str, str] | None = None, pid: int | None = None) -> Notifier:
    """The line that this process's surroundings offer; ``environment`` and ``pid`` are its own unless given."""
    environment = os.environ if environment is None else environment
    address = environment.get("NOTIFY_SOCKET")
    if sys.platform == "win32":
        return current_service() or NullNotifier()
    if not address:
        return NullNotifier()
    return SystemdNotifier(address, watchdog_period_ms(environment, os.getpid() if pid is None else pid))
