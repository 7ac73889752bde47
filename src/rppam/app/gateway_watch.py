"""The watch over this node's SSH gateways: health says when one of them does not run.

The supervisor starts one again that has ended; this tells of one that stays away, since people then reach no target
through this node and everything else is well. It goes by what living processes put on the node's page.
"""

from collections.abc import Callable, Mapping
from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.model import GaugeView
from rppam.db.condition import Condition

EVERY_S: Final = 2.0
LOOKS: Final = 6
"""A gateway is away once that many looks in a row miss it: a start takes some seconds."""
_MEANING: Final = "SSH gateways of this node that run."


class GatewayWatch(NodeTask):
    """See the module."""

    def __init__(self, processes: Callable[[], Mapping[str, Condition]], wanted: int) -> None:
        """``processes``: the living workers and gateways by name; ``wanted``: how many gateways there are to be."""
        super().__init__("the watch over the gateways", EVERY_S, self.look)
        self._processes, self._wanted = processes, wanted
        self._missed = 0

    async def look(self) -> str:
        """Look once: a warning once some have been away for long enough, or nothing."""
        living = sum(name.startswith("gateway ") for name in self._processes())
        self.gauges = (GaugeView("rppam_gateways", _MEANING, living),)
        self._missed = self._missed + 1 if living < self._wanted else 0
        return gone(living, self._wanted) if self._missed >= LOOKS else ""


def gone(living: int, wanted: int) -> str:
    """The warning."""
    who = "no SSH gateway of this node runs" if not living else f"{living} of {wanted} SSH gateways of this node run"
    return f"{who}: its log says why the others end ('rppam.gateway'); SSH through other nodes goes on"
