"""Errors of a node's place in its cluster."""

from typing import ClassVar

from rppam.domain.errors import ErrorRow, Fault, Retry, RppamError
from rppam.domain.exits import Exit


class ClusterError(RppamError):
    """Something about this node's place in the cluster keeps it from running."""


class NameInUse(ClusterError):
    """Another live node has this node's name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5101",
        Fault.OPERATOR,
        Retry.NO,
        "Another live node of the cluster uses this node's name.",
        "Give this node its own node.nodeName, or stop the other one.",
        exit=Exit.NAME_IN_USE,
    )


class DataDirInUse(ClusterError):
    """Another process of this host runs on this node's data directory."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5102",
        Fault.OPERATOR,
        Retry.NO,
        "Another process on this host runs with this node's data directory.",
        "Stop it ('systemctl status rppam' shows it), or give this node its own node.dataDir.",
        exit=Exit.NAME_IN_USE,
    )


class DataDirUnusable(ClusterError):
    """The data directory cannot be made or written."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5103",
        Fault.OPERATOR,
        Retry.NO,
        "The data directory cannot be made or written.",
        "Make node.dataDir and let the account that runs rppam own it.",
        exit=Exit.CONFIGURATION,
    )


class ForeignPrefix(ClusterError):
    """The key prefix is another cluster's, or nested in another's."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5104",
        Fault.OPERATOR,
        Retry.NO,
        "redis.keyPrefix belongs to another cluster on the same Redis, or is nested in another cluster's prefix.",
        "Give every cluster on one Redis a prefix of its own, of which none begins with another.",
        exit=Exit.CONFIGURATION,
    )


class LoopStuck(ClusterError):
    """A part of the node that must never end has ended."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5105",
        Fault.US,
        Retry.NO,
        "A part of the node that must run for ever has ended.",
        "The service manager restarts the node; keep the log line before this one for a report.",
        exit=Exit.ERRORS,
    )
