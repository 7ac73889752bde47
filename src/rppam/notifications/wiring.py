"""The parts of notifications in one process."""

from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.notifications.delivery import Delivery, Sending
from rppam.notifications.store import Queue, SqlChannels

WATCH_EVERY_S: Final = 10.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the channels."""
    services.add(SqlChannels, _channels(base))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Send."""
    return [Sending(Delivery(_channels(base), base.clock, base.node, base.boot_id))]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Say in health which channels do not take their notifications."""
    channels = _channels(base)
    return [NodeTask("the watch over notifications", WATCH_EVERY_S, lambda: refusing(channels))]


async def refusing(channels: SqlChannels) -> str:
    """A warning that names the enabled channels with notifications that were not taken, and what was given up of any.

    Raises a ``DatabaseError``.
    """
    outbox = await channels.outbox()
    behind, lost = [], []
    for one in await channels.all():
        queue = outbox.get(one.id, Queue())
        if one.enabled and queue.waiting and queue.problem:
            behind.append(f"{one.name} has {queue.waiting} waiting ({queue.problem})")
        if queue.given_up:
            lost.append(f"{queue.given_up} of {one.name} ({queue.problem})")
    said = [f"notifications are not taken: {', '.join(behind)}; they are sent again"] if behind else []
    if lost:
        said.append(
            f"notifications were given up after three days, and nobody got them: {', '.join(lost)}; mend the channel "
            "and save it, and they are sent"
        )
    return ". ".join(said)


def _channels(base: Foundation | ControlFoundation) -> SqlChannels:
    return SqlChannels(base.database, data_keys_of(base.config, base.database))
