"""The parts of the audit in one process."""

from typing import Final

from rppam.audit.archive_store import Pruning, SqlArchives
from rppam.audit.cosigners import EVERY_S as COSIGN_EVERY_S, SqlCosigners, WitnessCosignatures
from rppam.audit.integrator import EVERY_S, Integrator
from rppam.audit.keys import SigningKeys
from rppam.audit.retention_store import Ageing, SqlRetention
from rppam.audit.watch import EVERY_S as WATCH_EVERY_S, LedgerWatch
from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.ledger.acts import Recorder
from rppam.ledger.checkpoint import origin_of
from rppam.ledger.cosigner import SEEN_FILE, Cosigner, SeenFile
from rppam.ledger.store import SqlLedger
from rppam.settings.store import SqlSettingsStore

AGE_EVERY_S: Final = 600.0
PRUNE_EVERY_S: Final = 300.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the ledger, its public key, its cosigners, and what records acts that change no database."""
    services.add(SqlLedger, SqlLedger(base.database))
    services.add(SqlCosigners, SqlCosigners(base.database))
    services.add(SqlRetention, SqlRetention(base.database))
    services.add(Recorder, Recorder(base.database))
    services.add(SigningKeys, _keys(base))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Put events into the tree, and ask the witnesses to cosign it."""
    keys = _keys(base)
    seen = SeenFile(base.config.node.data_dir / SEEN_FILE)
    integrator = Integrator(base.database, keys, base.node, base.boot_id, seen)
    settings = SqlSettingsStore(base.database)
    ageing = Ageing(SqlRetention(base.database), settings)
    pruning = Pruning(SqlArchives(base.database), settings, base.node, base.boot_id)
    tasks = [
        RepeatedTask("the integration of the ledger", EVERY_S, integrator.work),
        RepeatedTask("the forgetting of old names", AGE_EVERY_S, ageing.work),
        RepeatedTask("the pruning of old events", PRUNE_EVERY_S, pruning.work),
    ]
    if base.link is not None:
        ledger, cosigners = SqlLedger(base.database), SqlCosigners(base.database)
        asked = WitnessCosignatures(ledger, cosigners, base.link, keys, base.entropy)
        tasks.append(RepeatedTask("the cosignatures of witnesses", COSIGN_EVERY_S, asked.work))
    return tasks


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Watch that the ledger only grows, and cosign it."""
    keys = _keys(base)
    cosigner = Cosigner(base.config.node.data_dir, f"{keys.origin}/{base.node}", base.clock)
    watch = LedgerWatch(SqlLedger(base.database), keys, cosigner, SqlCosigners(base.database))
    return [NodeTask(watch.name, WATCH_EVERY_S, watch.check, lambda: watch.gauges)]


def _keys(base: Foundation | ControlFoundation) -> SigningKeys:
    origin = origin_of(base.config.cluster.cluster_id)
    return SigningKeys(base.database, data_keys_of(base.config, base.database), origin)
