"""A node without the folder of recordings says so in its health, until it has it."""

import asyncio
import threading
from pathlib import Path

import pytest

from rppam.db.database import Database
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.folder import Folder
from rppam.recordings.policy import STORE, StorePolicy
from rppam.recordings.shelves import Access
from rppam.recordings.watch import StoreWatch
from rppam.settings.store import SqlSettingsStore


class Settled(SqlSettingsStore):
    """A setting as it is told to stand."""

    def __init__(self) -> None:
        self.value = StorePolicy()

    async def value_of(self, _: object) -> StorePolicy:  # type: ignore[override]
        """The value."""
        return self.value


def numbers(watch: StoreWatch) -> list[tuple[str, float]]:
    return [(one.name, one.value) for one in watch.gauges]


async def test_a_folder_that_is_not_there_is_told_and_one_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    settled = Settled()
    watch = StoreWatch(settled, Access())
    assert await watch.look() == ""
    assert numbers(watch) == [], "in SQL there is nothing to look at"
    share = tmp_path / "share"
    settled.value = StorePolicy("dir", str(share))
    with pytest.raises(RecordingStoreFailed, match="is the share mounted on this node"):
        await watch.look()
    assert numbers(watch) == [("rppam_recordings_store", 0)]
    share.mkdir()
    assert await watch.look() == ""
    assert numbers(watch) == [("rppam_recordings_store", 1)]
    assert list(share.iterdir()) == []
    settled.value = StorePolicy("s3", bucket="http://127.0.0.1:1/bucket")
    with pytest.raises(RecordingStoreFailed, match=r"has no access.s3KeyId"):
        await watch.look()


async def test_a_node_that_is_well_shows_no_other_number_while_it_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = Settled()
    settled.value = StorePolicy("dir", str(tmp_path))
    watch = StoreWatch(settled, Access())
    await watch.look()
    asked, answers = threading.Event(), threading.Event()

    def slow(_: Folder) -> None:
        asked.set()
        assert answers.wait(10)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "tried", slow)
        looking = asyncio.create_task(watch.look())
        assert await asyncio.to_thread(asked.wait, 10)
        during = numbers(watch)
        answers.set()
        await looking
    assert during == numbers(watch) == [("rppam_recordings_store", 1)]


async def test_the_setting_is_read_where_it_stands(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/rppam.db")
    await database.start()
    try:
        store = SqlSettingsStore(database)
        assert (await store.value_of(STORE)).store == "sql"
        assert await StoreWatch(store, Access()).look() == ""
    finally:
        await database.stop()
