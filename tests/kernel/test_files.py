"""What has to outlast a power cut: the content is on disk before the name, and the name before anybody is answered."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rppam.cluster.admin.errors import OrdersUnwritable
from rppam.cluster.consensus.messages import NO_CANDIDACY, PersistedVote
from rppam.cluster.consensus.operator_state import NO_ORDERS
from rppam.cluster.driver.operator_state import OperatorStateFile
from rppam.cluster.errors import PromiseFileUnwritable
from rppam.cluster.store.vote_file import FilePromises
from rppam.kernel.files import replace_durably

WRITERS: dict[str, Callable[[Path], object]] = {
    "anything": lambda folder: replace_durably(folder / "file", b"new"),
    "promises": lambda folder: FilePromises(folder / "file").save(PersistedVote(NO_CANDIDACY, None)),
    "orders": lambda folder: OperatorStateFile(folder / "file").save(NO_ORDERS),
}
by_each = pytest.mark.parametrize("writer", WRITERS)


@by_each
def test_the_content_is_synced_before_the_name_and_the_name_before_it_returns(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced, fsync = tmp_path / "file", [], os.fsync
    path.write_bytes(b"old")

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(("directory" if is_directory else "file", path.read_bytes() == b"old"))

    monkeypatch.setattr(os, "fsync", noted)
    WRITERS[writer](tmp_path)
    assert synced == [("file", True), ("directory", False)]
    assert not (tmp_path / ".file.part").exists()


@pytest.mark.parametrize(
    ("writer", "told"),
    [("anything", OSError), ("promises", PromiseFileUnwritable), ("orders", OrdersUnwritable)],
)
def test_a_name_that_is_not_on_disk_is_told(
    writer: str, told: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refused(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(told, match="Input/output error"):
        WRITERS[writer](tmp_path)


@by_each
def test_only_this_account_can_read_it_and_it_is_whole(writer: str, tmp_path: Path) -> None:
    WRITERS[writer](tmp_path)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    if writer == "anything":
        assert (tmp_path / "file").read_bytes() == b"new"
