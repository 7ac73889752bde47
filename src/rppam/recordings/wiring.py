"""The parts of recordings in one process."""

from typing import Final

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.recordings.ending import Ending, SqlEnding
from rppam.recordings.joining import Joining, SqlJoining
from rppam.recordings.keeping import SqlKeeping
from rppam.recordings.policy import STORE
from rppam.recordings.service import Recordings
from rppam.recordings.shelves import access_of
from rppam.recordings.store import SqlRecordings
from rppam.recordings.watch import StoreWatch
from rppam.recordings.watchers import SqlWatchers
from rppam.settings.store import SqlSettingsStore

END_EVERY_S: Final = 600.0
JOIN_EVERY_S: Final = 60.0


def wire(base: Foundation, services: Services) -> None:
    """Offer recordings."""
    store = services.add(SqlRecordings, SqlRecordings(base.database))
    keys = data_keys_of(base.config, base.database)
    watchers = services.add(SqlWatchers, SqlWatchers(base.database))
    found = Recordings(
        store,
        keys,
        base.session_clock,
        lambda: base.hot.current(STORE),
        watchers,
        node=base.node,
        shelves=access_of(base.config.access, base.clock),
    )
    services.add(Recordings, found)
    services.add(SqlEnding, SqlEnding(base.database))
    services.add(SqlKeeping, SqlKeeping(base.database))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Delete recordings whose time is over, and join the objects of those that are over."""
    shelves = access_of(base.config.access, base.clock)
    ending = Ending(SqlEnding(base.database), SqlSettingsStore(base.database), shelves)
    keys = data_keys_of(base.config, base.database)
    joining = Joining(SqlJoining(base.database), SqlRecordings(base.database), keys, shelves)
    return [
        RepeatedTask("the deleting of old recordings", END_EVERY_S, ending.work),
        RepeatedTask("the joining of recordings", JOIN_EVERY_S, joining.work),
    ]


def node_tasks(base: ControlFoundation) -> list[NodeTask]:
    """Say in health when this node has no store to put recordings to."""
    return [StoreWatch(SqlSettingsStore(base.database), access_of(base.config.access, base.clock))]
