"""The control process's surface: the page that the API workers of this node read.

Each turn of the driver puts up the permission first and then, once per turn of the loop, the picture of the cluster. A
permission that ended is off the page before anything else follows from its end. A picture that is too large for the
page is shown with fewer members, and says so.
"""

import asyncio
import logging
from typing import Final

from rppam.app.supervision import stop_with_supervisor
from rppam.cluster.health.model import text_within
from rppam.cluster.health.ports import Authority
from rppam.cluster.health.view import NodeView
from rppam.kernel.system_clock import SystemClock
from rppam.process.control_channel import ControlChannel
from rppam.process.notify import Notifier
from rppam.process.shared_state import CONTROL, PICTURE_TEXT_MAX, Permission, Picture, SharedState

log = logging.getLogger("rppam.node")

SHOW_EVERY_S: Final = 0.25


class Board(Notifier):
    """Implements :class:`rppam.app.node.Surface`, and the service manager's line through the supervisor."""

    def __init__(self, page: SharedState, line: ControlChannel, generation: int, clock: SystemClock) -> None:
        """``generation`` says which control process of the node this is."""
        self._page, self._line, self._generation, self._clock = page, line, generation, clock
        self._view: NodeView | None = None
        self._permitted: Permission | None = None
        self._planned = False
        self._turning = False
        self._too_large = False

    def shows(self, view: NodeView) -> None:
        """What to show from now on."""
        self._view = view

    def turned(self) -> None:
        """The driver has turned."""
        self._turning = True
        now_us = self._now_us()
        self._permit()
        self._page.stamp(CONTROL, now_us)
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._show)

    # ---- Surface ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Show what is known before anything has begun."""
        self._page.permit(None)
        self._page.stamp(CONTROL, self._now_us())
        self._show()

    async def wait(self) -> None:
        """Show it again and again: what a node sees changes with time alone. Never returns."""
        while True:
            await asyncio.sleep(SHOW_EVERY_S)
            if not self._turning:  # still connecting, in the times that the settings give
                self._page.stamp(CONTROL, self._now_us())
            stop_with_supervisor(self._page, self._now_us())
            self._show()

    async def stop(self, drain_ms: int) -> None:  # noqa: ARG002  # the workers drain
        """Leadership is released: the workers may go."""
        self._page.permit(None)
        self._show()
        self._line.send("released")

    # ---- Notifier ---------------------------------------------------------------------------------------------------

    def ready(self, status: str) -> bool:
        """The node serves."""
        self._show()
        return self._line.send("ready", status=status)

    def status(self, text: str) -> bool:
        """One line for people."""
        return self._line.send("status", status=text)

    def alive(self) -> bool:
        """The supervisor judges by the page, and pings for all processes."""
        return True

    def stopping(self, status: str) -> bool:
        """The node has begun to stop."""
        self._show()
        return self._line.send("stopping", status=status)

    # ---- the page ---------------------------------------------------------------------------------------------------

    def _permit(self) -> None:
        permitted = self._permission_now()
        if permitted != self._permitted:
            self._page.permit(permitted)
            self._permitted = permitted

    def _permission_now(self) -> Permission | None:
        if self._view is None:
            return None
        authority, until = self._view.authority(), self._view.permitted_until()
        if authority is None or until is None:
            return None
        return Permission(
            self._generation, Authority(authority.epoch, authority.boot_id), self._clock.as_host_us(until)
        )

    def _show(self) -> None:
        self._planned = False
        if self._view is None:
            return
        text = text_within(self._view.snapshot(), PICTURE_TEXT_MAX)
        fits = self._page.show(Picture(self._generation, self._now_us(), text))
        if not fits and not self._too_large:
            log.error("what this node sees takes %d bytes, more than its workers can be shown", len(text))
        self._too_large = not fits

    def _now_us(self) -> int:
        return self._clock.as_host_us(self._clock.now())
