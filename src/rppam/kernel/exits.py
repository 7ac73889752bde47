"""Exit codes, the same for every command. Numbers from sysexits.h where one fits."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command's exit code means."""

    DONE = 0
    """Done."""
    NO = 1
    """A warning, or a negative answer (a violation found, not healthy)."""
    ERRORS = 2
    """Errors found, or wrong usage."""
    REDIS_UNREACHABLE = 69
    """Redis unreachable with ``abortConnect=true`` (EX_UNAVAILABLE)."""
    IN_USE = 73
    """Another process of this host runs on this data directory (EX_CANTCREAT)."""
    TURNED_AWAY = 75
    """What stands in Redis, or other members say, keeps this node from taking part; that may pass (EX_TEMPFAIL)."""
    LICENCE = 77
    """The licence does not allow it (EX_NOPERM)."""
    CONFIGURATION = 78
    """The configuration is wrong (EX_CONFIG)."""
