"""What a running test says of itself, told to the cluster too, for those who watch it in the console.

Sent in order beside the test, which never waits for it. What it does not promise: that each sentence arrives; the
report has them all.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from rppam.failover_test.client import TESTS, CannotTestError, Cluster

CHARS_MAX: Final = 500
END_S: Final = 3.0


class Steps:
    """See the module."""

    def __init__(self, cluster: Cluster, tell: Callable[[str], None]) -> None:
        """``tell`` hears each sentence at once."""
        self._cluster, self._tell = cluster, tell
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    def begin(self, test: str) -> None:
        """Send from now on, for the test of this id."""
        self._sender = asyncio.create_task(self._send(f"{TESTS}/{test}/steps"), name="telling how far the test is")

    def add(self, said: str) -> None:
        """Tell one more."""
        self._tell(said)
        if self._sender is not None:
            self._waiting.put_nowait(said[:CHARS_MAX])

    async def end(self) -> None:
        """Wait for what is under way, for a moment; nothing is sent any more."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        self._waiting.put_nowait(None)
        with suppress(TimeoutError):
            await asyncio.wait_for(sender, END_S)

    async def _send(self, path: str) -> None:
        while (said := await self._waiting.get()) is not None:
            with suppress(CannotTestError):
                await self._cluster.order("POST", path, {"said": said})
