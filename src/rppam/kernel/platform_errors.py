"""What can be wrong with the system a node runs on (RPPAM-7xxx)."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class PlatformError(RppamError, fault=Fault.PLATFORM, retry=Retry.NO, exit=Exit.CONFIGURATION):
    """Base of all errors of the surrounding system."""


class NotifyAddressError(PlatformError, code="RPPAM-7001"):
    """NOTIFY_SOCKET names no address that a node can report to."""

    fix = "Start the node by systemd with Type=notify, or unset NOTIFY_SOCKET."

    def __init__(self, address: str) -> None:
        super().__init__(
            f"NOTIFY_SOCKET: expected an absolute path or '@' and a name, found {address!r};"
            " start the node by systemd with Type=notify, or unset NOTIFY_SOCKET"
        )


class WatchdogPeriodError(PlatformError, code="RPPAM-7002"):
    """WATCHDOG_USEC is not a number of microseconds."""

    fix = "Set WatchdogSec= in the systemd unit, which sets it, or unset WATCHDOG_USEC."

    def __init__(self, text: str) -> None:
        super().__init__(
            f"WATCHDOG_USEC: expected a positive whole number of microseconds, found {text!r};"
            " set WatchdogSec= in the systemd unit, or unset WATCHDOG_USEC"
        )


class TooFewFilesError(PlatformError, code="RPPAM-7018"):
    """This process may not have as many files and sockets open as it needs."""

    fix = "Raise LimitNOFILE in the systemd unit, the nofile ulimit of the container, or 'ulimit -n' of the shell."

    def __init__(self, found: int, least: int = 0) -> None:
        """``found``: the limit; 0 where it is not known, and was reached. ``least``: what is needed."""
        expected = f"at least {least}, " if least else ""
        what = f"found {found}" if found else "found all in use"
        super().__init__(f"the limit of open files (RLIMIT_NOFILE): expected {expected}{what}. {self.row.remedy}")
