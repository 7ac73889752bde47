"""Errors of the file that keeps an administrator's orders (RPPAM-51xx)."""

from typing import ClassVar

from rppam.cluster.errors import ClusterError
from rppam.kernel.errors import ErrorRow, Fault, Retry
from rppam.kernel.exits import Exit


class OrdersFileBroken(ClusterError):
    """What was ordered before the restart cannot be read."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-5120",
        Fault.SURROUNDINGS,
        Retry.NO,
        "The file that keeps maintenance and pause over a restart is damaged; the node starts as if there were none.",
        "Put the node into maintenance, or pause failover, again if it should be: that writes the file anew.",
        exit=Exit.ERRORS,
    )
