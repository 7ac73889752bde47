"""The parts of recordings in one process."""

from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import Foundation
from rppam.kernel.services import Services
from rppam.recordings.policy import STORE
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from rppam.recordings.watchers import SqlWatchers


def wire(base: Foundation, services: Services) -> None:
    """Offer recordings."""
    store = services.add(SqlRecordings, SqlRecordings(base.database))
    keys = data_keys_of(base.config, base.database)
    watchers = services.add(SqlWatchers, SqlWatchers(base.database))
    found = Recordings(store, keys, base.session_clock, lambda: base.hot.current(STORE), watchers, node=base.node)
    services.add(Recordings, found)
