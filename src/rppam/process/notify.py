"""What the node tells its service manager: ready, still alive, stopping, and one line of status.

On Linux that is systemd's protocol (sd_notify(3)): datagrams of ``KEY=value`` lines to the socket that
``NOTIFY_SOCKET`` names, a file or, with a leading ``@``, an abstract address. On Windows it is the service manager that
starts the program which ``sc.exe create RpPam binPath= ...`` names, and expects it to answer within 30 s as Microsoft's
"Service Programs" describe: a dispatcher on the main thread, the service's work on another, and a handler for requests.
That part is type-checked for Windows; it has not been run.

What it does not promise: delivery. A full or vanished socket never delays or ends the node; the call answers false.
systemd restarts a process that stops calling :meth:`Notifier.alive`; the manager of Windows restarts a service that
ends (``sc.exe failure``), not one that hangs.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from rppam.kernel.instant import US_PER_MS
from rppam.kernel.platform_errors import NotifyAddressError, WatchdogPeriodError

NAME: Final = "RpPam"
STOP_HINT_MS: Final = 20_000
"""How long stopping may take, as Windows hears: step down, release, and let requests end."""

_OWN_PROCESS: Final = 0x10
_STOPPED, _START_PENDING, _STOP_PENDING, _RUNNING = 1, 2, 3, 4
_ACCEPT_STOP, _ACCEPT_SHUTDOWN = 0x1, 0x4
_ASKED_TO_STOP, _ASKED_TO_SHUT_DOWN, _ASKED_HOW_IT_IS = 1, 5, 4
_NOT_MANAGED: Final = 1063
"""ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: started by hand, not by the manager."""
_NOT_IMPLEMENTED: Final = 120
_OF_ITS_OWN: Final = 1066
"""ERROR_SERVICE_SPECIFIC_ERROR: the exit code is the program's own."""


class Notifier:
    """The node's line to its service manager; this one has none, as on a terminal or in a container.

    Each call returns at once: whether the manager got the message.
    """

    alive_every_ms: int | None = None
    """How often :meth:`alive` is due; ``None`` when nobody watches."""

    def ready(self, status: str) -> bool:  # noqa: ARG002
        """Report that the node serves. Call it once."""
        return False

    def status(self, text: str) -> bool:  # noqa: ARG002
        """Show one line to people, as ``systemctl status`` does."""
        return False

    def alive(self) -> bool:
        """Send the watchdog's ping: the node's loop turns."""
        return False

    def stopping(self, status: str) -> bool:  # noqa: ARG002
        """Report that the node has begun to stop."""
        return False


class SystemdNotifier(Notifier):
    """The line to systemd."""

    def __init__(self, address: str, alive_every_ms: int | None = None) -> None:
        """``address``: a path, or ``@`` and an abstract name. Raises NotifyAddressError for anything else."""
        if not address.startswith(("/", "@")) or len(address) < 2:
            raise NotifyAddressError(address)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.alive_every_ms = alive_every_ms
        self._socket: socket.socket
        if sys.platform == "win32":  # no unix sockets in Python there
            raise NotifyAddressError(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def ready(self, status: str) -> bool:
        """Send ``READY=1``: `systemctl start` returns now."""
        return self._send("READY=1", _status_line(status))

    def status(self, text: str) -> bool:
        """Send ``STATUS=``."""
        return self._send(_status_line(text))

    def alive(self) -> bool:
        """Send ``WATCHDOG=1``."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str) -> bool:
        """Send ``STOPPING=1``."""
        return self._send("STOPPING=1", _status_line(status))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, *lines: str) -> bool:
        try:
            self._socket.sendto("\n".join(lines).encode(), self._address)
        except OSError:  # full, or the manager is gone: nothing that may stop a node
            return False
        return True


def _status_line(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # a line break would start another key


def watchdog_period_ms(environment: Mapping[str, str], pid: int) -> int | None:
    """Half of the interval after which systemd ends us, as sd_watchdog_enabled(3) advises; ``None`` if it does not.

    Raises WatchdogPeriodError when ``WATCHDOG_USEC`` is not a positive whole number.
    """
    text = environment.get("WATCHDOG_USEC")
    if not text or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise WatchdogPeriodError(text)
    return max(1, int(text) // 2 // US_PER_MS)


def notifier(environment: Mapping[str, str] | None = None, pid: int | None = None) -> Notifier:
    """The line that this process's surroundings offer; ``environment`` and ``pid`` are its own unless given."""
    if sys.platform == "win32":
        return WindowsService.current or Notifier()
    environment = os.environ if environment is None else environment
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return Notifier()
    return SystemdNotifier(address, watchdog_period_ms(environment, os.getpid() if pid is None else pid))


class WindowsService(Notifier):
    """The line to the service manager of Windows, which has no text for people and no watchdog."""

    current: ClassVar["WindowsService | None"] = None
    """The service that this process is; ``None`` when nobody manages it."""

    def __init__(self, report: Callable[[int, int, int], bool]) -> None:
        """``report``: state, exit code, and how long the next state may take in ms."""
        self._report = report
        self.on_stop: Callable[[str], object] = lambda _why: None
        """Called on a thread of the system when the manager asks the service to stop."""

    def ready(self, status: str) -> bool:  # noqa: ARG002
        """Report the state "running"."""
        return self._report(_RUNNING, 0, 0)

    def stopping(self, status: str) -> bool:  # noqa: ARG002
        """Report the state "stopping"."""
        return self._report(_STOP_PENDING, 0, STOP_HINT_MS)

    def ended(self, code: int) -> bool:
        """Report the end, with the program's exit code."""
        return self._report(_STOPPED, code, 0)

    def asked(self, control: int) -> int:
        """Answer a request of the manager."""
        if control in {_ASKED_TO_STOP, _ASKED_TO_SHUT_DOWN}:
            self.stopping("")
            self.on_stop("the service manager asks to stop")
            return 0
        return 0 if control == _ASKED_HOW_IT_IS else _NOT_IMPLEMENTED


Main = Callable[[WindowsService], int]

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    class _Status(ctypes.Structure):
        _fields_ = [
            ("type", wintypes.DWORD),
            ("state", wintypes.DWORD),
            ("accepted", wintypes.DWORD),
            ("exit_code", wintypes.DWORD),
            ("own_exit_code", wintypes.DWORD),
            ("check_point", wintypes.DWORD),
            ("wait_hint", wintypes.DWORD),
        ]

    _MainFunction = ctypes.WINFUNCTYPE(None, wintypes.DWORD, ctypes.POINTER(wintypes.LPWSTR))
    _Handler = ctypes.WINFUNCTYPE(wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p)

    class _Entry(ctypes.Structure):
        _fields_ = [("name", wintypes.LPWSTR), ("main", _MainFunction)]

    def run_as_service(main: Main) -> int | None:
        """Run ``main`` as the service; its exit code, or ``None`` when this process was not started by the manager."""
        system = ctypes.WinDLL("advapi32", use_last_error=True)
        codes: list[int] = []

        def work(_count: int, _words: object) -> None:
            def handler(control: int, _event: int, _data: object, _context: object) -> int:
                return service.asked(control)

            kept = _Handler(handler)
            handle = system.RegisterServiceCtrlHandlerExW(NAME, kept, None)

            def report(state: int, code: int, hint_ms: int) -> bool:
                accepted = _ACCEPT_STOP | _ACCEPT_SHUTDOWN if state == _RUNNING else 0
                how = _OF_ITS_OWN if code else 0
                status = _Status(_OWN_PROCESS, state, accepted, how, code, 0, hint_ms)
                return bool(system.SetServiceStatus(handle, ctypes.byref(status)))

            service = WindowsService.current = WindowsService(report)
            report(_START_PENDING, 0, STOP_HINT_MS)
            code = 1
            try:
                code = main(service)
            finally:
                codes.append(code)
                service.ended(code)

        kept_work = _MainFunction(work)
        table = (_Entry * 2)(_Entry(NAME, kept_work), _Entry(None, _MainFunction()))
        if not system.StartServiceCtrlDispatcherW(table):
            if ctypes.get_last_error() == _NOT_MANAGED:
                return None
            raise ctypes.WinError(ctypes.get_last_error())
        return codes[0] if codes else 1
else:

    def run_as_service(main: Main) -> int | None:  # noqa: ARG001
        """Return ``None``: nobody manages this process in the way of Windows."""
        return None
