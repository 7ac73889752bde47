"""The file that keeps an administrator's orders over a restart. Both calls may block for as long as the disk does."""

from typing import Protocol

from rppam.cluster.consensus.operator_state import OperatorState


class OrdersFile(Protocol):
    """What one node keeps."""

    def load(self) -> OperatorState:
        """What was ordered; no orders when there is no file.

        Raises :class:`~rppam.cluster.driver.operator_state_errors.OrdersFileBroken`.
        """
        ...

    def save(self, orders: OperatorState) -> None:
        """Replace the file. Raises :class:`~rppam.cluster.admin.errors.OrdersUnwritable`."""
        ...
