"""The files of the cluster key are looked at for as long as the node runs, whatever one look meets."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link import key_files as module
from rppam.cluster.link.key_files import ClusterKeys, cluster_key_files, next_of
from rppam.kernel.secret import Secret
from tests.cluster.link.links import KEY, OTHER_KEY, make_node

pytestmark = pytest.mark.integration

BOTH = ClusterKeys(KEY, (OTHER_KEY,))


def write(path: Path, key: Secret) -> Path:
    path.write_text(key.reveal(), encoding="ascii")
    path.chmod(0o600)
    return path


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


def test_what_could_not_be_read_is_read_again_though_no_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = write(tmp_path / "cluster.key", KEY)
    files = cluster_key_files(key)
    assert files.changed() is None
    write(next_of(key), OTHER_KEY)
    opened = Path.open

    def too_many(path: Path, *words: str, **more: str) -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "open", too_many)
    with pytest.raises(ClusterKeyUnusable, match="Too many open files"):
        files.changed()
    monkeypatch.setattr(Path, "open", opened)
    assert files.changed() == BOTH
    assert files.changed() is None


async def test_a_look_that_nobody_foresaw_ends_no_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    key = write(tmp_path / "cluster.key", KEY)
    files = cluster_key_files(key)
    member = make_node("node1").link
    used: list[tuple[Secret, ...]] = []
    faults = [RuntimeError("can't start new thread")] * 3

    def use(_own: Secret, also: tuple[Secret, ...] = (), _sealing: tuple[Secret, ...] = ()) -> None:
        if faults:
            raise faults.pop()
        used.append(also)

    monkeypatch.setattr(member.credentials, "use", use)
    watch = asyncio.create_task(files.follow(member.keys.use, logging.getLogger("rppam.members"), "it stays"))
    write(next_of(key), OTHER_KEY)
    await until(lambda: bool(used))
    assert used == [(OTHER_KEY,)]
    assert caplog.text.count("can't start new thread") == 1, "told once"
    next_of(key).unlink()
    await until(lambda: len(used) == 2)
    watch.cancel()


async def test_a_key_file_that_stays_broken_is_told_once_and_what_comes_after_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.005)
    path = write(tmp_path / "cluster.key", KEY)
    files, looks = cluster_key_files(path), [0]
    used: list[ClusterKeys] = []
    changed = files.changed

    async def use(keys: ClusterKeys) -> None:
        used.append(keys)

    def counted() -> ClusterKeys | None:
        looks[0] += 1
        return changed()

    monkeypatch.setattr(files, "changed", counted)
    watch = asyncio.create_task(files.follow(use, logging.getLogger("rppam.cache"), "it stays"))
    path.write_text("no key")
    await until(lambda: looks[0] >= 10)
    assert caplog.text.count("the changed cluster key cannot be used") == 1
    write(path, OTHER_KEY)
    await until(lambda: bool(used))
    assert used == [ClusterKeys(OTHER_KEY, ())]
    watch.cancel()


async def test_both_keys_that_change_at_once_are_used_whichever_thread_is_slower(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    member = make_node("node1").link
    shown: list[tuple[Secret, tuple[Secret, ...]]] = []

    def use(own: Secret, _also: tuple[Secret, ...] = (), sealing: tuple[Secret, ...] = ()) -> None:
        time.sleep(0.2 if own == KEY else 0.0)  # what was begun first ends last
        shown.append((own, sealing))

    monkeypatch.setattr(member.credentials, "use", use)
    first = asyncio.create_task(member.keys.use_sealing(ClusterKeys(OTHER_KEY, ())))
    await asyncio.sleep(0.05)
    await member.keys.use(ClusterKeys(OTHER_KEY, ()))
    await first
    assert shown[-1] == (OTHER_KEY, (OTHER_KEY,))
