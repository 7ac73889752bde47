"""The folder of signing keys while a node runs: what could not be read once is read as soon as it can be."""

import asyncio
from pathlib import Path

import pytest

from rppam.access.tokens.key_files import create_signing_key, load_signing_keys
from rppam.access.tokens.service import KeyFolder, KeySet, Tokens
from rppam.kernel.instant import WallMs
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from tests.support.late_threads import LateThreads

NOON = WallMs(1_772_366_400_000)


def kids(directory: Path) -> frozenset[str]:
    return KeySet(load_signing_keys(directory)).kids


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    create_signing_key(tmp_path / "keys", now_ms=NOON)
    return tmp_path / "keys"


@pytest.fixture
def tokens(directory: Path) -> Tokens:
    keys = KeySet(load_signing_keys(directory))
    return Tokens(keys, issuer="i", audience="a", node="n", clock=SystemClock(), entropy=SystemEntropy())


def exchanged(directory: Path) -> None:
    """A new key in, the old one, which leaked, out."""
    (old,) = directory.iterdir()
    create_signing_key(directory, now_ms=WallMs(NOON + 5_000))
    old.unlink()


def set_mode(directory: Path, mode: int) -> None:
    directory.chmod(mode)


def move(directory: Path, name: str) -> Path:
    return directory.rename(directory.with_name(name))


async def test_a_folder_that_was_open_to_others_is_read_once_it_is_closed_again(
    directory: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    folder, before = KeyFolder(directory, tokens), tokens.keys.kids
    await folder.look()
    set_mode(directory, 0o775)
    exchanged(directory)
    await folder.look()
    await folder.look()
    assert tokens.keys.kids == before
    assert caplog.text.count("has mode 0775") == 1, "told once"
    set_mode(directory, 0o700)
    await folder.look()
    assert tokens.keys.kids == kids(directory) != before
    await folder.look()
    assert caplog.text.count("a signing key is gone") == 1, "what was read is not read again"


async def test_a_host_that_starts_no_thread_keeps_no_removed_key_in_use(
    directory: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_default_executor(LateThreads(refuses=2))
    folder, before = KeyFolder(directory, tokens), tokens.keys.kids
    exchanged(directory)
    await folder.look()
    await folder.look()
    assert tokens.keys.kids == before
    assert caplog.text.count("RuntimeError: can't start new thread. It is tried again") == 1, "told once"
    await folder.look()
    assert tokens.keys.kids == kids(directory) != before


async def test_a_folder_that_is_gone_for_a_while_is_told_each_time(
    directory: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    folder = KeyFolder(directory, tokens)
    await folder.look()
    for _ in range(2):
        away = move(directory, "away")
        await folder.look()
        await folder.look()
        move(away, directory.name)
        await folder.look()
    assert caplog.text.count("holds no signing key") == 2
    assert tokens.keys.kids == kids(directory)
