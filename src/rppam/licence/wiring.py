"""The parts of licences in the control process."""

from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.foundation import ControlFoundation
from rppam.licence.journal import LicenceJournal
from rppam.licence.service import read_licence

EVERY_S: Final = 60.0


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Record what becomes of this node's licence."""
    journal = LicenceJournal(base.database, base.node, base.clock, lambda: read_licence(base.config.license))
    return [NodeTask("the journal of the licence", EVERY_S, journal.look)]
