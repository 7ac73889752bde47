"""Maintenance and pause in one small JSON file of the data directory, always the old one or the new one.

An order that was answered as kept is on disk, through a power cut, too.

What it does not promise: protection against somebody who can write the directory.
"""

import json
from pathlib import Path
from typing import Any, Final

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState, Pause, person
from rppam.cluster.driver.operator_state_errors import OrdersFileBroken
from rppam.kernel.durable import replace_durably

FILE_NAME: Final = "orders"
"""Its name in the data directory."""
BYTES_MAX: Final = 4 * 1024
STAMP_MAX: Final = 2**53


class OperatorStateFile:
    """The real :class:`rppam.cluster.driver.operator_state_port.OrdersFile`."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file; its directory exists and belongs to this process alone."""
        self.path = path

    def load(self) -> OperatorState:
        """What was ordered; no orders when there is no file.

        Raises :class:`OrdersFileBroken` for one that cannot be read or understood.
        """
        try:
            with self.path.open("rb") as file:
                orders = _parse(file.read(BYTES_MAX + 1))
        except FileNotFoundError:
            return NO_ORDERS
        except OSError as error:
            raise self._broken(f"a file that cannot be read ({error.strerror})") from None
        if orders is None:
            raise self._broken("something else")
        return orders

    def _broken(self, found: str) -> OrdersFileBroken:
        return OrdersFileBroken(
            f"{self.path}: expected maintenance and pause as this node wrote them, found {found}. "
            f"{OrdersFileBroken.row.remedy}"
        )

    def save(self, orders: OperatorState) -> None:
        """Replace the file; returns when the disk has it. Raises :class:`OrdersUnwritable`."""
        fields = {**orders._asdict(), "pause": orders.pause._asdict()}
        try:
            replace_durably(self.path, json.dumps(fields).encode() + b"\n")
        except OSError as error:
            raise OrdersUnwritable(
                f"{self.path}: expected to keep an order on disk, found: {error.strerror}. The order holds until this "
                "node is restarted; make room there, or let the account that runs rppam own the directory"
            ) from None


def _parse(data: bytes) -> OperatorState | None:
    try:
        fields: Any = json.loads(data) if len(data) <= BYTES_MAX else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or set(fields) != set(OperatorState._fields):
        return None
    pause = fields["pause"]
    if not isinstance(pause, dict) or set(pause) != set(Pause._fields):
        return None
    fine = (
        type(pause["stamp"]) is int
        and 0 <= pause["stamp"] < STAMP_MAX
        and isinstance(pause["is_on"], bool)
        and isinstance(fields["maintenance"], bool)
        and all(isinstance(name, str) and name == person(name) for name in (pause["by"], fields["maintenance_by"]))
    )
    return OperatorState(Pause(**pause), fields["maintenance"], fields["maintenance_by"]) if fine else None
