"""Keeps an administrator's orders over a restart: maintenance and pause, in one small file of the data directory.

The file is always the old one or the new one, and is written off the loop, the newest order last. An order that was
answered as kept is on disk, through a power cut, too. What it does not promise: protection against somebody who can
write the directory.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState, Pause, person
from rppam.cluster.errors import OrdersFileBroken
from rppam.kernel.files import replace_durably
from rppam.kernel.serial_writer import InOrder

FILE_NAME: Final = "orders"
"""Its name in the data directory."""
BYTES_MAX: Final = 4 * 1024
STAMP_MAX: Final = 2**53
RETRY_S: Final = 5.0
"""Pause before what the disk did not take is tried again: nobody has to give the order a second time."""

log: Final = logging.getLogger("rppam.node")


class OperatorStateFile:
    """Both calls may block for as long as the disk does."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file; its directory exists and belongs to this process alone."""
        self.path = path

    def load(self) -> OperatorState:
        """Return what was ordered; no orders when there is no file.

        Raises OrdersFileBroken for a file that cannot be read or understood.
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
        """Replace the file; returns when the disk has it. Raises OrdersUnwritable."""
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


class OperatorStateKeeper:
    """Has one node's orders on disk; who gave one can wait for it."""

    def __init__(self, file: OperatorStateFile) -> None:
        self._file = file
        self._to_disk = InOrder(file.save)
        self._wanted: OperatorState | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed: OrdersUnwritable | None = None
        self._retry: asyncio.TimerHandle | None = None

    @property
    def problem(self) -> str:
        """Why the newest order is not kept; empty when it is."""
        return "" if self._failed is None else str(self._failed)

    def load(self) -> OperatorState:
        """Return what was kept. A damaged file is logged and counts as none: it must not keep a node from serving."""
        try:
            return self._file.load()
        except OrdersFileBroken as error:
            log.error("%s", error)  # noqa: TRY400  # a sentence for the administrator
            return NO_ORDERS

    def keep(self, orders: OperatorState) -> None:
        """Have these on disk soon."""
        self._wanted = orders
        self._forget_retry()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._save(), name="keep orders")

    async def kept(self) -> None:
        """Wait until everything that was to be kept is on disk. Raises OrdersUnwritable."""
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failed is not None:
            raise OrdersUnwritable(str(self._failed))

    async def keep_again(self, orders: OperatorState) -> None:
        """Have these on disk if they are not. Raises OrdersUnwritable."""
        if self._failed is not None:
            self.keep(orders)
        await self.kept()

    async def stop(self) -> None:
        """Let the last one reach the disk."""
        self._forget_retry()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=1.0)

    async def _save(self) -> None:
        while (orders := self._wanted) is not None:
            self._wanted = None
            try:
                await self._to_disk.run(orders)
                self._failed = None
            except OrdersUnwritable as error:
                self._not_kept(orders, error)
            except Exception as error:  # noqa: BLE001 - reported as any other; nobody else keeps orders
                self._not_kept(orders, OrdersUnwritable(f"an order is not on disk: {type(error).__name__}: {error}"))

    def _not_kept(self, orders: OperatorState, why: OrdersUnwritable) -> None:
        if self._failed is None:
            log.warning("%s", why)
        self._failed = why
        if self._wanted is None:
            self._forget_retry()
            self._retry = asyncio.get_running_loop().call_later(RETRY_S, self.keep, orders)

    def _forget_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
