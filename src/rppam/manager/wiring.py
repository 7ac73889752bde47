"""The parts of the manager in one process: the operator note, the settings of the cluster, its past."""

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.health.ports import NodeStatus
from rppam.cluster.history.recorder import FILE_NAME as HISTORY_FILE, History
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.manager.cluster_events import ClusterWatch
from rppam.manager.joined import EVERY_S, Joined
from rppam.manager.note_model import FencedNote
from rppam.manager.note_store import SqlFencedNote
from rppam.manager.notes import NoteReader
from rppam.settings.service import SettingChanges
from rppam.settings.store import SqlSettingsStore


def wire(base: Foundation, services: Services) -> None:
    """Offer the note, the changes of settings and the history."""
    note = services.add(FencedNote, SqlFencedNote(base.database, base.outranked))
    services.add(NoteReader, NoteReader(note, base.clock))
    store = services.add(SqlSettingsStore, SqlSettingsStore(base.database, base.outranked))
    services.add(SettingChanges, SettingChanges(store, base.cache, base.hot))
    services.add(ClusterWatch, ClusterWatch(services.get(NodeStatus), base.clock))
    services.add(History, History(base.config.node.data_dir / HISTORY_FILE))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Record who was taken in as a member."""
    joined = Joined(base.database, base.members, base.node, base.boot_id)
    return [RepeatedTask("the record of who joined", EVERY_S, joined.work)]
