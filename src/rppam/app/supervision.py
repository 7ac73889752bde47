"""What a process of the node does because the supervisor does: stop with it, and follow its orders."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from rppam.kernel.errors import Exit
from rppam.process.control_channel import ControlChannel
from rppam.process.linux import is_stopped
from rppam.process.shared_state import SUPERVISOR, SharedState

QUIET_US: Final = 1_000_000
"""The supervisor turns four times a second."""


def stop_with_supervisor(page: SharedState, now_us: int) -> None:
    """Whoever stops the supervisor (SIGSTOP, Ctrl-Z) stops the node: nobody could tidy up after a death meanwhile.

    The supervisor continues its children when it is continued itself.
    """
    if sys.platform == "win32":
        return
    if now_us - page.stamped_us(SUPERVISOR) > QUIET_US and is_stopped(os.getppid()):
        os.kill(os.getpid(), signal.SIGSTOP)


def follow(line: ControlChannel, orders: dict[str, Callable[[dict[str, Any]], None]]) -> None:
    """Carry out orders as they come. Ends this process when the supervisor is gone."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        while True:
            try:
                message = line.receive()
            except EOFError:
                os._exit(Exit.ERRORS)
            if message is None:
                return
            order = orders.get(message.word)
            if order is not None:
                order(message.facts)

    loop.add_reader(line.fileno(), heard)
