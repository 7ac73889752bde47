"""What can be wrong with the system a node runs on (RPPAM-7xxx)."""

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class PlatformError(RppamError):
    """Base of all errors of the surrounding system."""


class NotifyAddressError(PlatformError):
    """The service manager's address is of a kind that we do not speak to."""

    row = ErrorRow(
        "RPPAM-7001",
        Fault.PLATFORM,
        Retry.NO,
        "NOTIFY_SOCKET names no address that a node can report to.",
        "Start the node by systemd with Type=notify, or unset NOTIFY_SOCKET.",
        exit=Exit.CONFIGURATION,
    )

    def __init__(self, address: str) -> None:
        super().__init__(
            f"NOTIFY_SOCKET: expected an absolute path or '@' and a name, found {address!r};"
            " start the node by systemd with Type=notify, or unset NOTIFY_SOCKET"
        )


class WatchdogPeriodError(PlatformError):
    """The service manager's watchdog interval is no number."""

    row = ErrorRow(
        "RPPAM-7002",
        Fault.PLATFORM,
        Retry.NO,
        "WATCHDOG_USEC is not a number of microseconds.",
        "Set WatchdogSec= in the systemd unit, which sets it, or unset WATCHDOG_USEC.",
        exit=Exit.CONFIGURATION,
    )

    def __init__(self, text: str) -> None:
        super().__init__(
            f"WATCHDOG_USEC: expected a positive whole number of microseconds, found {text!r};"
            " set WatchdogSec= in the systemd unit, or unset WATCHDOG_USEC"
        )


class TooFewFilesError(PlatformError):
    """This process may have too few files open."""

    row = ErrorRow(
        "RPPAM-7018",
        Fault.PLATFORM,
        Retry.NO,
        "This process may not have as many files and sockets open as it needs.",
        "Raise LimitNOFILE in the systemd unit, the nofile ulimit of the container, or 'ulimit -n' of the shell.",
        exit=Exit.CONFIGURATION,
    )

    def __init__(self, found: int, least: int = 0) -> None:
        """``found``: the limit; 0 where it is not known, and was reached. ``least``: what is needed."""
        expected = f"at least {least}, " if least else ""
        what = f"found {found}" if found else "found all in use"
        super().__init__(f"the limit of open files (RLIMIT_NOFILE): expected {expected}{what}. {self.row.remedy}")
