"""What health says of rotations: those of which nobody knows what the target takes, and those that keep failing."""

from typing import Final

from sqlalchemy import Connection

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.model import GaugeView
from rppam.db.database import Database
from rppam.rotation.machine import Phase
from rppam.rotation.model import LATE_MS, Rotation
from rppam.rotation.store import counts_in, failing_in

EVERY_S: Final = 5.0
NAMED_MAX: Final = 5
_MEANING: Final = "Secrets that wait for a change on their target, by how far it is."


class RotationWatch(NodeTask):
    """See the module."""

    def __init__(self, database: Database) -> None:
        super().__init__("the watch over rotations", EVERY_S, self.look)
        self._database = database

    async def look(self) -> str:
        """The warning; empty where nothing fails."""

        def work(connection: Connection) -> str:
            counts = counts_in(connection)
            self.gauges = tuple(
                GaugeView("rppam_rotations", _MEANING, count, "phase", phase) for phase, count in counts.items()
            )
            return warning(failing_in(connection, LATE_MS)) if any(counts.values()) else ""

        return await self._database.read(work)


def warning(failing: list[Rotation]) -> str:
    """One sentence."""
    if not failing:
        return ""
    named = [f"{one.entry} at {one.target} ({_state(one)})" for one in failing[:NAMED_MAX]]
    more = f" and {len(failing) - NAMED_MAX} more" if len(failing) > NAMED_MAX else ""
    return (
        f"secrets could not be changed on their targets: {', '.join(named)}{more}; 'rppam vault rotations' tells all, "
        "and they are tried again"
    )


def _state(one: Rotation) -> str:
    unknown = "nobody knows which secret it takes: " if one.phase is Phase.UNCERTAIN else ""
    return f"{unknown}{one.problem}"
