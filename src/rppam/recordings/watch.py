"""The watch over the store of recordings where that is a folder or a bucket: health says when this node has none.

Each node looks for itself, since a share may be mounted on one and not on another. It writes a trial to a folder, and
asks a bucket for what is in it: where either fails, sessions are refused or go on without a recording, as the policy
says. What it does not promise: that a bucket takes what it shows, nor that either has room for a long session.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rppam.cluster.driver.node_tasks import NodeTask
from rppam.cluster.health.model import GaugeView
from rppam.recordings.bucket import Bucket, BucketPlace
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.folder import Folder
from rppam.recordings.policy import DIR, SQL, STORE, StorePolicy
from rppam.recordings.shelves import Access
from rppam.settings.store import SqlSettingsStore

EVERY_S: Final = 15.0
ANSWER_S: Final = 10.0
_MEANING: Final = "1: this node can work with the folder or bucket of recordings; 0: it cannot."


class StoreWatch(NodeTask):
    """See the module."""

    def __init__(self, settings: SqlSettingsStore, access: Access) -> None:
        super().__init__("the watch over the store of recordings", EVERY_S, self.look)
        self._settings, self._access = settings, access
        self._thread: Final = ThreadPoolExecutor(1, "recordings-watch")
        self._looking: Future[None] | None = None
        """A folder that hangs is asked again once it has answered."""

    async def look(self) -> str:
        """Look once. Raises :class:`RecordingStoreFailed`, a ``DatabaseError``."""
        policy = await self._settings.value_of(STORE)
        if policy.store == SQL:
            self.gauges = ()
            return ""
        try:
            await self._try(policy)
        except Exception:
            self.gauges = (GaugeView("rppam_recordings_store", _MEANING, 0),)
            raise
        self.gauges = (GaugeView("rppam_recordings_store", _MEANING, 1),)
        return ""

    async def _try(self, policy: StorePolicy) -> None:
        if policy.store == DIR:
            await self._try_folder(Path(policy.folder))
        else:
            place = BucketPlace.of(policy.bucket, policy.region)
            await Bucket(place, self._access.keys, self._access.now_ms, self._access.ca).try_out()

    async def _try_folder(self, path: Path) -> None:
        if self._looking is None or self._looking.done():
            self._looking = self._thread.submit(Folder(path).tried)
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.wrap_future(self._looking)
        except TimeoutError:
            raise RecordingStoreFailed(f"the folder {path} did not answer within {ANSWER_S:g} s") from None
        except OSError as error:
            raise RecordingStoreFailed(f"the folder {path}: {error.strerror or error}") from None
