"""Errors of a node's place in its cluster."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class ClusterError(RppamError, fault=Fault.OPERATOR, retry=Retry.NO):
    """Something about this node's place in the cluster keeps it from running."""


class NameInUse(ClusterError, code="RPPAM-5101", problem=ROWS["RD-609"], retry=Retry.YES, exit=Exit.TURNED_AWAY):
    """Another live node has this node's name."""


class NoSeat(ClusterError, code="RPPAM-5318", retry=Retry.SLOWLY, exit=Exit.TURNED_AWAY):
    """The nodes that Redis shows take all seats of the licence, so this node does not join them."""

    fix = "Install a licence for more nodes, or stop a node; look for nodes nobody knows with rppam status."


class DataDirInUse(ClusterError, code="RPPAM-5102", exit=Exit.IN_USE):
    """Another process on this host runs with this node's data directory."""

    fix = "Stop it ('systemctl status rppam' shows it), or give this node its own node.dataDir."


class DataDirUnusable(ClusterError, code="RPPAM-5103", exit=Exit.CONFIGURATION):
    """The data directory cannot be made or written."""

    fix = "Make node.dataDir and let the account that runs rppam own it."


class ForeignPrefix(ClusterError, code="RPPAM-5104", retry=Retry.YES, exit=Exit.TURNED_AWAY):
    """redis.keyPrefix belongs to another cluster on this Redis, or is nested in another's prefix."""

    fix = "Give every cluster on one Redis a prefix of its own, of which none begins with another."


class LoopStuck(ClusterError, code="RPPAM-5105", fault=Fault.US, exit=Exit.NO):
    """A part of the node that must run for ever has ended."""

    fix = "The supervisor or service manager starts it again; keep the log line before this one for a report."


class NothingServes(
    ClusterError, code="RPPAM-5111", problem=ROWS["RD-707"], fault=Fault.PLATFORM, retry=Retry.YES, exit=Exit.ERRORS
):
    """No process of this node that answers requests runs."""


class MemberPortInUse(ClusterError, code="RPPAM-5106", problem=ROWS["RD-904"], exit=Exit.CONFIGURATION):
    """The port of the member link cannot be had."""


class ClusterKeyUnusable(ClusterError, code="RPPAM-5107", problem=ROWS["RD-604"], exit=Exit.CONFIGURATION):
    """The key that the members of a cluster know each other by is missing, open to others, or not a key."""


class SealingKeyUnusable(ClusterKeyUnusable, code="RPPAM-5324"):
    """The sealing key cannot be used, so what is sealed for the nodes can be neither read nor written."""

    fix = "Copy auth.sealingKeyPath from another node (rppam init --bundle), mode 0600; never to a witness."


class PromiseFileBroken(
    ClusterError, code="RPPAM-5108", problem=ROWS["RD-901"], fault=Fault.SURROUNDINGS, exit=Exit.ERRORS
):
    """What this member promised before it stopped cannot be read."""


class PromiseFileUnwritable(
    ClusterError, code="RPPAM-5109", problem=ROWS["RD-619"], fault=Fault.SURROUNDINGS, retry=Retry.YES, exit=Exit.ERRORS
):
    """A promise cannot be kept on disk, so it is not given."""


class FoundedAlready(ClusterError, code="RPPAM-5110", exit=Exit.ERRORS):
    """This node belongs to a cluster, or one can take it in; a second one was not founded."""

    fix = "Start the node: it takes its place. Found anew only what is gone for good; see docs/operations/install.md."


class PromiseFileStrange(
    PromiseFileUnwritable, code="RPPAM-5327", problem=ROWS["RD-618"], fault=Fault.OPERATOR, retry=Retry.NO
):
    """The promise file belongs to another host, or is a copy, and an operator has not said yet that it is the one."""


class OrdersFileBroken(ClusterError, code="RPPAM-5120", fault=Fault.SURROUNDINGS, exit=Exit.ERRORS):
    """The file that keeps maintenance and pause over a restart is damaged, so none is in force."""

    fix = "Put the node into maintenance, or pause failover, again if it should be: that writes the file anew."
