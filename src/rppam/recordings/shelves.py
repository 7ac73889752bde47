"""Where the chunks of a recording lie when they do not lie in SQL: on a shelf, a folder or a bucket.

A chunk is on its shelf before SQL learns of it; SQL has its hash and where it lies. So what a crash leaves on a shelf
is nothing that anybody refers to. A recording stays on the shelf where it began, whatever the setting says by then.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from rppam.config.settings import AccessSettings
from rppam.kernel.actor import Actor
from rppam.kernel.clock import Clock
from rppam.recordings.bucket import Bucket, BucketPlace
from rppam.recordings.folder import Folder
from rppam.recordings.model import Chunk, State
from rppam.recordings.policy import DIR, S3, StorePolicy
from rppam.recordings.sigv4 import S3Keys
from rppam.recordings.store import SqlRecordings

_DIR: Final = f"{DIR}:"
BUCKETS: Final = f"{S3}:"
"""What the place of a recording begins with that lies in a bucket."""


class Shelf(Protocol):
    """One of them. Every call raises :class:`~rppam.recordings.errors.RecordingStoreFailed`."""

    async def prepare(self, ident: str) -> None:
        """See that a recording can be written."""
        ...

    async def put(self, ident: str, generation: int, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Chunks that are durable from then on, with their places."""
        ...

    async def get(self, ident: str, chunks: Sequence[Chunk]) -> list[Chunk]:
        """The chunks of these places."""
        ...

    async def remove(self, ident: str) -> None:
        """Remove all of a recording."""
        ...


class Access(NamedTuple):
    """What this node needs to reach shelves."""

    keys: S3Keys | None = None
    """``None``: the config has none."""
    ca: Path | None = None
    """Authorities that are trusted; ``None``: the system's."""
    now_ms: Callable[[], int] = int
    """The wall clock, which requests to a bucket are signed by."""


def access_of(config: AccessSettings, clock: Clock) -> Access:
    """As the node's config has it."""
    ident, secret = config.s3_key_id, config.s3_secret
    keys = S3Keys(ident.reveal(), secret) if ident is not None and secret is not None else None
    return Access(keys, config.s3_ca_path, clock.wall_ms)


def name_of(policy: StorePolicy) -> str:
    """Where a new recording lies, as its row has it."""
    if policy.store == S3:
        return f"{BUCKETS}{policy.region}:{policy.bucket}"
    return f"{_DIR}{policy.folder}" if policy.store == DIR else policy.store


def shelf_of(store: str, access: Access) -> Shelf | None:
    """The shelf of a recording; ``None``: its chunks lie in SQL."""
    if store.startswith(BUCKETS):
        region, _, url = store.removeprefix(BUCKETS).partition(":")
        return Bucket(BucketPlace.of(url, region), access.keys, access.now_ms, access.ca)
    return Folder(Path(store.removeprefix(_DIR))) if store.startswith(_DIR) else None


class OnShelf:
    """What :class:`SqlRecordings` is to a recorder, for one recording whose chunks lie on a shelf."""

    def __init__(self, store: SqlRecordings, shelf: Shelf) -> None:
        self._store, self._shelf = store, shelf
        self._last: tuple[Sequence[Chunk], list[Chunk]] = ((), [])
        """What was put there last, so that it is put once where SQL is asked again."""

    async def append(
        self,
        ident: str,
        chunks: Sequence[Chunk],
        size: int,
        actor: Actor,
        *,
        tell: bool,
        generation: int,
        output: int,
    ) -> None:
        """See :meth:`SqlRecordings.append`. Raises :class:`~rppam.recordings.errors.RecordingStoreFailed` as well."""
        if self._last[0] is not chunks:
            self._last = chunks, await self._shelf.put(ident, generation, chunks)
        await self._store.append(ident, self._last[1], size, actor, tell=tell, generation=generation, output=output)

    async def end(self, ident: str, state: State, how: str, actor: Actor, generation: int | None = None) -> None:
        """See :meth:`SqlRecordings.end`."""
        await self._store.end(ident, state, how, actor, generation)
