"""The parts of the audit in one process."""

from rppam.audit.integrator import EVERY_S, Integrator
from rppam.audit.keys import SigningKeys, origin_of
from rppam.audit.watch import EVERY_S as WATCH_EVERY_S, FILE_NAME, LedgerWatch, SeenFile
from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.ledger.acts import Recorder
from rppam.ledger.store import SqlLedger


def wire(base: Foundation, services: Services) -> None:
    """Offer the ledger, its public key, and what records acts that change no database."""
    services.add(SqlLedger, SqlLedger(base.database))
    services.add(Recorder, Recorder(base.database))
    services.add(SigningKeys, _keys(base))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Put events into the tree."""
    integrator = Integrator(base.database, _keys(base), base.node, base.boot_id)
    return [RepeatedTask("the integration of the ledger", EVERY_S, integrator.work)]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Watch that the ledger only grows."""
    file = SeenFile(base.config.node.data_dir / FILE_NAME)
    watch = LedgerWatch(SqlLedger(base.database), _keys(base), file)
    return [NodeTask(watch.name, WATCH_EVERY_S, watch.check)]


def _keys(base: Foundation | ControlFoundation) -> SigningKeys:
    origin = origin_of(base.config.cluster.cluster_id)
    return SigningKeys(base.database, data_keys_of(base.config, base.database), origin)
