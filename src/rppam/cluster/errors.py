"""Errors of a node's place in its cluster."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class ClusterError(RppamError):
    """Something about this node's place in the cluster keeps it from running."""


class NameInUse(ClusterError):
    """Another live node has this node's name."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5101",
        Fault.OPERATOR,
        Retry.YES,
        "Another live node of the cluster uses this node's name.",
        "Give this node its own node.nodeName, or stop the other one.",
        exit=Exit.TURNED_AWAY,
    )


class NoSeat(ClusterError):
    """As far as Redis shows, all licence seats are taken."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5318",
        Fault.OPERATOR,
        Retry.SLOWLY,
        "The nodes that Redis shows take all seats of the licence, so this node does not join them.",
        "Install a licence for more nodes, or stop a node; look for nodes nobody knows with rppam status.",
        exit=Exit.TURNED_AWAY,
    )


class DataDirInUse(ClusterError):
    """Another process of this host runs on this node's data directory."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5102",
        Fault.OPERATOR,
        Retry.NO,
        "Another process on this host runs with this node's data directory.",
        "Stop it ('systemctl status rppam' shows it), or give this node its own node.dataDir.",
        exit=Exit.IN_USE,
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
        Retry.YES,
        "redis.keyPrefix belongs to another cluster on the same Redis, or is nested in another cluster's prefix.",
        "Give every cluster on one Redis a prefix of its own, of which none begins with another.",
        exit=Exit.TURNED_AWAY,
    )


class LoopStuck(ClusterError):
    """A part of the node that must never end has ended."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5105",
        Fault.US,
        Retry.NO,
        "A part of the node that must run for ever has ended.",
        "It is started again by the supervisor or the service manager; keep the log line before this one for a report.",
        exit=Exit.NO,  # not one of those after which nobody starts it again
    )


class MemberPortInUse(ClusterError):
    """The port of the member link cannot be had."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5106",
        Fault.OPERATOR,
        Retry.NO,
        "This node cannot listen for the other members of its cluster.",
        "Stop whoever has the port ('ss -ltnp' shows it), or change cluster.memberPort and cluster.memberHost.",
        exit=Exit.CONFIGURATION,
    )


class ClusterKeyUnusable(ClusterError):
    """The key that the members of a cluster know each other by is missing, open to others, or not a key."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5107",
        Fault.OPERATOR,
        Retry.NO,
        "The cluster key cannot be used, so the members of the cluster cannot know each other.",
        "Copy auth.clusterKeyPath from another node (rppam init --bundle), mode 0600; on a first node run rppam init.",
        exit=Exit.CONFIGURATION,
    )


class SealingKeyUnusable(ClusterKeyUnusable):
    """The key that seals copies, counters and secrets of people is open to others, or not a key."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5324",
        Fault.OPERATOR,
        Retry.NO,
        "The sealing key cannot be used, so what is sealed for the nodes alone can neither be read nor written.",
        "Copy auth.sealingKeyPath from another node (rppam init --bundle), mode 0600; never to a witness.",
        exit=Exit.CONFIGURATION,
    )


class PromiseFileBroken(ClusterError):
    """What this member promised before it stopped cannot be read."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5108",
        Fault.SURROUNDINGS,
        Retry.NO,
        "The file that keeps this member's promises over a restart is damaged.",
        "While the other members run, stop this one, remove the file and start it: it waits and learns from them.",
        exit=Exit.ERRORS,
    )


class PromiseFileUnwritable(ClusterError):
    """A promise cannot be kept on disk, so it is not given."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5109",
        Fault.SURROUNDINGS,
        Retry.YES,
        "This member cannot write its promises to disk, so it gives none: it does not vote and does not lead.",
        "Make room in node.dataDir, or repair its disk; the account that runs rppam has to own it.",
        exit=Exit.ERRORS,
    )


class FoundedAlready(ClusterError):
    """A cluster shall be founded where one is."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5110",
        Fault.OPERATOR,
        Retry.NO,
        "This node belongs to a cluster already, or one is there that can take it in; a second one was not founded.",
        "Start the node: it takes its place. Found anew only what is gone for good; see docs/operations/install.md.",
        exit=Exit.ERRORS,
    )


class PromiseFileStrange(PromiseFileUnwritable):
    """The promise file belongs to another host, or is a copy, and an operator has not said yet that it is the one."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5327",
        Fault.OPERATOR,
        Retry.NO,
        "The promise file of this member was written on another host, or is a copy, so this member does not vote.",
        "If the original is off for good, or this is it, moved or restored: stop the node, run rppam cluster adopt.",
        exit=Exit.ERRORS,
    )
