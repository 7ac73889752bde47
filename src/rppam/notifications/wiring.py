"""The parts of notifications in one process."""

from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.notifications.delivery import Delivery
from rppam.notifications.store import SqlChannels

SEND_EVERY_S: Final = 1.0
WATCH_EVERY_S: Final = 10.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the channels."""
    services.add(SqlChannels, _channels(base))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Send."""
    delivery = Delivery(_channels(base), base.clock, base.node, base.boot_id)
    return [RepeatedTask("the delivery of notifications", SEND_EVERY_S, delivery.run)]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Say in health which channels do not take their notifications."""
    channels = _channels(base)
    return [NodeTask("the watch over notifications", WATCH_EVERY_S, lambda: refusing(channels))]


async def refusing(channels: SqlChannels) -> str:
    """A warning that names the enabled channels with notifications that were not taken. Raises a ``DatabaseError``."""
    waiting = await channels.waiting()
    behind = [
        f"{one.name} has {waiting[one.id][0]} waiting ({waiting[one.id][1]})"
        for one in await channels.all()
        if one.enabled and one.id in waiting and waiting[one.id][1]
    ]
    return f"notifications are not taken: {', '.join(behind)}; they are sent again" if behind else ""


def _channels(base: Foundation | ControlFoundation) -> SqlChannels:
    return SqlChannels(base.database, data_keys_of(base.config, base.database))
