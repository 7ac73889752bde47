"""A node under the service manager of Windows: start, running, stop, and the exit code.

Type-checked for Windows; it has not been run. The manager starts the program that ``sc.exe create RpPam binPath= ...``
names; that program has to answer it within 30 s, in the way that Microsoft's "Service Programs" describe: a dispatcher
on the main thread, the service's work on another, and a handler for what the manager asks. Elsewhere nothing of this
exists, and :func:`run_as_service` says that nobody manages this process.

What it does not promise: a watchdog. The manager restarts a service that ends (``sc.exe failure``), not one that hangs.
"""

import sys
from collections.abc import Callable
from typing import Final

NAME: Final = "RpPam"
STOP_HINT_MS: Final = 20_000
"""How long stopping may take, as the manager is told: step down, release, and let requests end."""

_OWN_PROCESS: Final = 0x10
_STOPPED, _START_PENDING, _STOP_PENDING, _RUNNING = 1, 2, 3, 4
_ACCEPT_STOP, _ACCEPT_SHUTDOWN = 0x1, 0x4
_ASKED_TO_STOP, _ASKED_TO_SHUT_DOWN, _ASKED_HOW_IT_IS = 1, 5, 4
_NOT_MANAGED: Final = 1063
"""ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: started by hand, not by the manager."""
_NOT_IMPLEMENTED: Final = 120
_OF_ITS_OWN: Final = 1066
"""ERROR_SERVICE_SPECIFIC_ERROR: the exit code is the program's own."""

Main = Callable[["WindowsService"], int]


class WindowsService:
    """Implements :class:`rppam.process.notifier.Notifier`: the line to the service manager."""

    alive_every_ms: int | None = None

    def __init__(self, report: Callable[[int, int, int], bool]) -> None:
        """``report``: state, exit code, and how long the next state may take in ms."""
        self._report = report
        self.on_stop: Callable[[str], object] = lambda _why: None
        """Called on a thread of the system when the manager asks the service to stop."""

    def ready(self, status: str) -> bool:  # noqa: ARG002 - the port's name
        """The service runs."""
        return self._report(_RUNNING, 0, 0)

    def status(self, text: str) -> bool:  # noqa: ARG002 - the port's name
        """Windows has no line for it."""
        return False

    def alive(self) -> bool:
        """Nobody asks."""
        return False

    def stopping(self, status: str) -> bool:  # noqa: ARG002 - the port's name
        """It has begun to stop."""
        return self._report(_STOP_PENDING, 0, STOP_HINT_MS)

    def ended(self, code: int) -> bool:
        """It is over, with the program's exit code."""
        return self._report(_STOPPED, code, 0)

    def asked(self, control: int) -> int:
        """What the manager wants; the answer to it."""
        if control in {_ASKED_TO_STOP, _ASKED_TO_SHUT_DOWN}:
            self.stopping("")
            self.on_stop("the service manager asks to stop")
            return 0
        return 0 if control == _ASKED_HOW_IT_IS else _NOT_IMPLEMENTED


_current: list[WindowsService] = []


def current_service() -> WindowsService | None:
    """The service that this process is; ``None`` when nobody manages it."""
    return _current[0] if _current else None


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
                told = _Status(_OWN_PROCESS, state, accepted, how, code, 0, hint_ms)
                return bool(system.SetServiceStatus(handle, ctypes.byref(told)))

            service = WindowsService(report)
            _current.append(service)
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

    def run_as_service(main: Main) -> int | None:  # noqa: ARG001 - the same shape on every platform
        """Nobody manages this process in the way of Windows."""
        return None
