"""What a node does beside deciding who leads: the tasks of slices, the watch over the database; and what they say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from rppam.app.database_watch import NodeDatabase
from rppam.app.dns import name_tasks
from rppam.app.files_watch import FilesWatch
from rppam.app.hook import hook_tasks
from rppam.app.offers import leader_tasks, node_tasks
from rppam.app.serving_watch import GatewayWatch, WorkerWatch
from rppam.cluster.driver.leader_tasks import LoopTask
from rppam.cluster.driver.node_tasks import SideTask, findings_of, warnings_of
from rppam.cluster.driver.waiting import StillWaits
from rppam.cluster.health.agreement import LEADS, NO, NOT_KNOWN, SERVES, HeldKeys
from rppam.cluster.health.model import GaugeView
from rppam.cluster.health.view import NodeView
from rppam.db.condition import Condition
from rppam.doctor.acknowledging import Acknowledging
from rppam.foundation import ControlFoundation
from rppam.kernel.errors import RppamError
from rppam.kernel.finding import Finding


class Beside:
    """See the module."""

    def __init__(
        self,
        control: ControlFoundation,
        worker_databases: Callable[[], Mapping[str, Condition]] | None,
        view: Callable[[], NodeView],
    ) -> None:
        """``worker_databases``: what living workers and gateways say of theirs; ``None`` where the node is a single
        process. ``view``: the node as others see it, which is made after this."""
        self.database: Final = NodeDatabase(control.database, control.clock, worker_databases or dict)
        name = name_tasks(control.config, control.boot_id, lambda: view().permitted_until(), control.clock)
        self.name_in_dns: Final = name.shown
        """What health shows of the name that follows the leader."""
        hook = hook_tasks(control.config)
        self.leading: Final[Sequence[LoopTask]] = (*leader_tasks(control), *name.leading, *hook.leading)
        """What only the leader runs."""
        self.acknowledging: Final = Acknowledging(control.database, control.clock, control.node)
        access = control.config.access
        gateways = (GatewayWatch(worker_databases or dict, access.gateways),) if access.enabled else ()
        workers = control.config.api.workers
        self._workers: Final = (
            (WorkerWatch(worker_databases, workers, lambda: view().others_serve()),) if worker_databases else ()
        )
        self.tasks: Final[Sequence[SideTask]] = (
            self.database,
            self.acknowledging,
            FilesWatch(control.config.node.data_dir, control.config.logging.directory),
            *self._workers,
            *gateways,
            *name.beside,
            *hook.beside,
            *node_tasks(control),
        )

    def warnings(self) -> tuple[str, ...]:
        """What is wrong and is no finding. Takes no time."""
        return warnings_of(self._troubles())

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong and is a finding. Takes no time."""
        return findings_of(self._troubles())

    def gauges(self) -> tuple[GaugeView, ...]:
        """Numbers for monitoring. Takes no time."""
        return tuple(gauge for task in self.tasks for gauge in task.gauges)

    def why_unfit(self) -> str:
        """Why this node should not lead now; empty where it may. Takes no time."""
        return next((task.unfit for task in self.tasks if task.unfit), "")

    def master_keys(self) -> HeldKeys:
        """Which master keys of the vault this node has. Takes no time."""
        return next((task.master_keys for task in self.tasks if task.master_keys.held), NOT_KNOWN)

    def keeps(self) -> dict[str, str]:
        """What this node has now of that which must be the same everywhere. Takes no time."""
        return {name: value for task in self.tasks for name, value in task.keeps.items()}

    def says(self) -> Iterator[tuple[str, str]]:
        """What this node says of itself to the others, beside what has a place of its own in heartbeats."""
        if any(one.none_serves for one in self._workers):
            yield SERVES, NO
        if self.why_unfit():
            yield LEADS, NO

    def _troubles(self) -> list[RppamError | str]:
        told = [*(task.trouble for task in self.tasks), *(task.trouble for task in self.leading)]
        if self.database.state().is_connected:
            return told
        return [one for one in told if not isinstance(one, StillWaits)]  # health says that of the database
