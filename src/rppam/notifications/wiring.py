"""The parts of notifications in one process."""

from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.notifications.delivery import Delivery
from rppam.notifications.store import SqlChannels

SEND_EVERY_S: Final = 1.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the channels."""
    services.add(SqlChannels, _channels(base))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Send."""
    delivery = Delivery(_channels(base), base.clock, base.node, base.boot_id)
    return [RepeatedTask("the delivery of notifications", SEND_EVERY_S, delivery.run)]


def _channels(base: Foundation | ControlFoundation) -> SqlChannels:
    return SqlChannels(base.database, data_keys_of(base.config, base.database))
