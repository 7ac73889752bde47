"""The parts of SIEM delivery in one process."""

from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.model import GaugeView
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.siem.delivery import Delivery
from rppam.siem.store import SqlTargets
from rppam.siem.watch import gauges, told

WATCH_EVERY_S: Final = 10.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the targets."""
    services.add(SqlTargets, _targets(base))


def leader_tasks(base: ControlFoundation) -> list[Delivery]:
    """Deliver."""
    return [Delivery(base.database, _targets(base), base.clock, base.node, base.boot_id)]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Say in health which targets do not take their events, or too slowly."""
    targets = _targets(base)
    numbers: list[GaugeView] = []

    async def look() -> str:
        seen = await targets.progress()
        numbers[:] = gauges(seen)
        return told(seen)

    return [NodeTask("the watch over SIEM targets", WATCH_EVERY_S, look, lambda: tuple(numbers))]


def _targets(base: Foundation | ControlFoundation) -> SqlTargets:
    return SqlTargets(base.database, data_keys_of(base.config, base.database))
