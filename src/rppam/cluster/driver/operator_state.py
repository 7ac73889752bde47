"""Keeps an administrator's orders on disk, off the loop, the newest last; whoever gave one can wait for it."""

import asyncio
import logging
from typing import Final

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.operator_state import NO_ORDERS, OperatorState
from rppam.cluster.driver.operator_state_errors import OrdersFileBroken
from rppam.cluster.driver.operator_state_port import OrdersFile
from rppam.kernel.serial_writer import InOrder

RETRY_S: Final = 5.0
"""What the disk did not take is tried again so often: nobody has to give the order a second time."""

log: Final = logging.getLogger("rppam.node")


class OperatorStateKeeper:
    """One node's file of orders."""

    def __init__(self, file: OrdersFile) -> None:
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
        """What was kept. A damaged file is told and counts as none: it must not keep a node from serving."""
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
        """Until everything that was to be kept is on disk. Raises :class:`OrdersUnwritable`."""
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failed is not None:
            raise OrdersUnwritable(str(self._failed))

    async def keep_again(self, orders: OperatorState) -> None:
        """Have these on disk if they are not. Raises :class:`OrdersUnwritable`."""
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
            except Exception as error:  # noqa: BLE001 - told as any other; nobody else keeps orders
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
