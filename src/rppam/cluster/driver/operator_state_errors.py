"""Errors of the file that keeps an administrator's orders (RPPAM-51xx)."""

from rppam.cluster.errors import ClusterError
from rppam.kernel.errors import Fault
from rppam.kernel.exits import Exit


class OrdersFileBroken(ClusterError, code="RPPAM-5120", fault=Fault.SURROUNDINGS, exit=Exit.ERRORS):
    """The file that keeps maintenance and pause over a restart is damaged, so none is in force."""

    fix = "Put the node into maintenance, or pause failover, again if it should be: that writes the file anew."
