"""What a running node checks by itself every minute: its own certificate, and whether Redis is as it must be.

It looks over a connection of its own, one question after the other, in the background: nothing that it waits for is
waited for by leadership, and a check that hangs is given up. Its findings are those of ``rppam doctor``, with the same
codes. What it does not check: what only somebody on this host can see (files, ports, the container of Redis).
"""

import asyncio
import logging
from typing import Final

from rppam.adapters.system.served_certificate import ServedCertificate

log: Final = logging.getLogger("rppam.node")

EVERY_S: Final = 60.0


class Checkup:
    """See the module. Run it in the node's loop, and cancel it when the node stops."""

    def __init__(self, certificate: ServedCertificate | None) -> None:
        """``certificate``: what the API shows; ``None`` for plain HTTP."""
        self._certificate = certificate

    def warnings(self) -> tuple[str, ...]:
        """What should be put right and is no finding about Redis, in sentences."""
        return () if self._certificate is None else self._certificate.warnings()

    async def run(self) -> None:
        """Check for ever."""
        while True:
            if self._certificate is not None:
                await self._certificate.look()
            await asyncio.sleep(EVERY_S)
