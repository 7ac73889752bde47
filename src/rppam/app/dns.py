"""The name of a cluster in DNS: who has it follow the leader, in the control process."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rppam.cluster.health.model import NameView
from rppam.config.settings import Settings
from rppam.kernel.clock import Clock
from rppam.kernel.instant import Instant

if TYPE_CHECKING:
    from rppam.cluster.dns.follower import NameTask, NameWatch


class NameTasks(NamedTuple):
    """What a node does about the name."""

    leading: "tuple[NameTask, ...]" = ()
    beside: "tuple[NameWatch, ...]" = ()

    def shown(self, leader: str | None) -> NameView | None:
        """What health shows of the name; ``None`` where there is none."""
        return next((one.shown(leader) for one in self.beside), None)


def name_tasks(
    settings: Settings, boot_id: str, permitted_until: Callable[[], Instant | None], clock: Clock
) -> NameTasks:
    """Nothing where the settings have no name: then the library is not loaded, either."""
    if settings.dns.name is None or not settings.cluster.enabled:
        return NameTasks()
    from rppam.cluster.dns.configured import keeper_of
    from rppam.cluster.dns.follower import NameTask, NameWatch

    keeper = keeper_of(settings, boot_id, lambda: permitted_until() is not None, clock.wall_ms)
    task = NameTask(keeper)
    return NameTasks((task,), (NameWatch(keeper, task),))
