"""Keeps an administrator's orders on disk, off the loop, the newest last; whoever gave one can wait for it."""

import asyncio
import logging
from typing import Final

from rppam.domain.errors.administration import OrdersUnwritable
from rppam.domain.errors.orders import OrdersFileBroken
from rppam.domain.orders import NO_ORDERS, Orders
from rppam.ports.orders import OrdersFile

log: Final = logging.getLogger("rppam.node")


class OrdersKeeper:
    """One node's file of orders."""

    def __init__(self, file: OrdersFile) -> None:
        self._file = file
        self._wanted: Orders | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed: OrdersUnwritable | None = None

    @property
    def problem(self) -> str:
        """Why the newest order is not kept; empty when it is."""
        return "" if self._failed is None else str(self._failed)

    def load(self) -> Orders:
        """What was kept. A damaged file is told and counts as none: it must not keep a node from serving."""
        try:
            return self._file.load()
        except OrdersFileBroken as error:
            log.error("%s", error)  # noqa: TRY400  # a sentence for the administrator
            return NO_ORDERS

    def keep(self, orders: Orders) -> None:
        """Have these on disk soon."""
        self._wanted = orders
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._save(), name="keep orders")

    async def kept(self) -> None:
        """Until everything that was to be kept is on disk. Raises :class:`OrdersUnwritable`."""
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failed is not None:
            raise OrdersUnwritable(str(self._failed))

    async def stop(self) -> None:
        """Let the last one reach the disk."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=1.0)

    async def _save(self) -> None:
        while (orders := self._wanted) is not None:
            self._wanted = None
            try:
                await asyncio.to_thread(self._file.save, orders)
                self._failed = None
            except OrdersUnwritable as error:
                if self._failed is None:
                    log.warning("%s", error)
                self._failed = error
