"""The commands of a ceremony as people meet them: on a terminal, with a mistyped share, from a key that is there."""

import base64
import json
import os
import pty
import re
import secrets
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rppam.kernel.errors import Exit
from rppam.vault.shamir import combine, read, split
from rppam.vault.unsealed import file_system_of
from tests.support import prefork
from tests.support.parsing import REDIS
from tests.support.tables import new_sqlite

MEMORY = Path("/dev/shm")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(file_system_of(MEMORY) != "tmpfs", reason="no file system in memory here"),
]
KEY = secrets.token_bytes(32)
WAIT_S = 60.0
SHARE = re.compile(r"rppamshare1-[0-9a-f-]{40,}")


@pytest.fixture
def place() -> Iterator[Path]:
    folder = MEMORY / f"rppam-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def config(place: Path, tmp_path: Path) -> Path:
    """Of a node whose vault is opened by shares."""
    new_sqlite(tmp_path / "rppam.db")
    tree = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path)},
        "redis": REDIS,
        "database": {"url": f"sqlite:///{tmp_path}/rppam.db"},
        "vault": {"keySource": "shares", "unsealedPath": str(place / "vault.key")},
    }
    path = tmp_path / "rppam.config"
    path.write_text(json.dumps(tree))
    path.chmod(0o600)
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "master.key"
    path.write_text(base64.b64encode(KEY).decode() + "\n")
    path.chmod(0o600)
    return path


class Terminal:
    """``rppam vault`` in a terminal of its own."""

    def __init__(self, *words: str | Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rppam", "vault", *map(str, words)],
            stdin=slave, stdout=slave, stderr=slave, env=prefork.clean(TERM="xterm"), start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.out, self.seen = "", 0

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)

    def type(self, text: str) -> None:
        os.write(self.master, f"{text}\n".encode())

    def until(self, word: str) -> str:
        """What is shown from the last time on, as far as the word."""
        end = time.monotonic() + WAIT_S
        while word not in self.out[self.seen :]:
            assert time.monotonic() < end, (word, self.out)
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.out += os.read(self.master, 65_536).decode(errors="replace")
                except OSError:
                    raise AssertionError((word, self.out)) from None
        begin, self.seen = self.seen, self.out.index(word, self.seen) + len(word)
        return self.out[begin : self.seen]


def actions(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "rppam.db")) as database:
        return [row[0] for row in database.execute("SELECT action FROM audit_events ORDER BY seq")]


def test_shares_of_a_key_that_is_there_are_a_backup_of_it(tmp_path: Path, key_file: Path) -> None:
    out = tmp_path / "shares"
    words = ("vault", "ceremony", "--of", key_file, "--shares", "3", "--threshold", "2", "--out", out)
    made = prefork.run(*words)
    assert made.returncode == Exit.DONE, made.stderr
    shares = [read((out / f"share-{number}").read_text()) for number in (1, 2, 3)]
    assert combine(shares[1:]) == combine(shares[:2]) == KEY
    assert {(out / f"share-{number}").stat().st_mode & 0o777 for number in (1, 2, 3)} == {0o600}
    assert f"3 shares of the key {shares[0].key_id}; 2 of them open the vault" in made.stderr
    assert not SHARE.search(made.stdout + made.stderr)
    again = prefork.run(*words)
    assert again.returncode != Exit.DONE, "the shares of before are kept"
    assert "Traceback" not in again.stderr
    assert "expected no shares, found share-1, share-2, share-3" in again.stderr
    (out / "share-1").unlink()
    assert prefork.run(*words).returncode != Exit.DONE
    assert not (out / "share-1").exists(), "a share of another split would fit to none of these"
    below = prefork.run(*words[:-1], key_file / "shares").stderr
    assert "expected a folder to write to" in below
    assert combine([read((out / f"share-{number}").read_text()) for number in (2, 3)]) == KEY


@pytest.mark.parametrize("text", [None, "", "not base64", base64.b64encode(bytes(31)).decode()])
def test_a_file_that_has_no_key_is_split_into_nothing(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_text(text)
        file.chmod(0o600)
    made = prefork.run("vault", "ceremony", "--of", file, "--out", tmp_path / "shares")
    assert made.returncode != Exit.DONE
    assert str(file) in made.stderr
    assert "Traceback" not in made.stderr
    assert not (tmp_path / "shares").exists()


def test_more_that_are_needed_than_there_are_is_refused(tmp_path: Path) -> None:
    words = ("--shares", "2", "--threshold", "3", "--out", str(tmp_path / "shares"))
    made = prefork.run("vault", "ceremony", *words)
    assert made.returncode != Exit.DONE
    assert "RPPAM-8426" in made.stderr
    assert not (tmp_path / "shares").exists()


def test_shares_go_to_no_pipe(key_file: Path) -> None:
    made = prefork.run("vault", "ceremony", "--of", key_file, input_="\n" * 20)
    assert made.returncode != Exit.DONE
    assert "on a terminal alone" in made.stderr
    assert not SHARE.search(made.stdout + made.stderr)


def test_each_keeper_sees_a_share_on_a_screen_that_is_cleared(key_file: Path) -> None:
    with Terminal("ceremony", "--of", key_file, "--shares", "2", "--threshold", "2") as terminal:
        shares = []
        for number in (1, 2):
            before = terminal.until(f"Share {number} of 2: let its keeper come")
            assert not SHARE.search(before), "before the keeper came"
            terminal.type("")
            shown = terminal.until("Written down?")
            [word] = SHARE.findall(shown)
            shares.append(read(word))
            terminal.type("")
            if number == 1:
                assert "\x1b[2J" in terminal.until("\x1b[2J"), "the screen is cleared before the next one comes"
        assert terminal.process.wait(WAIT_S) == Exit.DONE
    assert combine(shares) == KEY


def mistyped(word: str) -> str:
    return word[:60] + ("0" if word[60] != "0" else "1") + word[61:]


def test_a_mistyped_share_is_asked_for_once_more_and_never_shown(config: Path, place: Path) -> None:
    shares = [share.text() for share in split(KEY, 2, 3)]
    with Terminal("unseal", "--config", config) as terminal:
        for number, word in ((1, mistyped(shares[0])), (1, shares[0]), (2, shares[0]), (2, shares[2])):
            said = terminal.until(f"Share {number}: ")
            terminal.type(word)
            assert "Traceback" not in said
        terminal.until("the vault is open on node1")
        assert terminal.process.wait(WAIT_S) == Exit.DONE
        assert terminal.out.count("once more") == 1, "the one that does not fit its checksum"
        assert not SHARE.search(terminal.out)
        assert shares[0][30:60] not in terminal.out
    assert base64.b64decode((place / "vault.key").read_text()) == KEY


def test_a_mistyped_share_on_stdin_opens_nothing(config: Path, place: Path) -> None:
    shares = [share.text() for share in split(KEY, 2, 3)]
    done = prefork.run("vault", "unseal", "--config", config, input_=f"{mistyped(shares[0])}\n{shares[1]}\n")
    assert (done.returncode != Exit.DONE, "RPPAM-8426" in done.stderr) == (True, True), done.stderr
    assert not SHARE.search(done.stdout + done.stderr)
    assert shares[0][30:60] not in done.stderr
    assert not (place / "vault.key").exists()


def test_a_vault_is_sealed_by_a_command_and_that_is_recorded_once(config: Path, place: Path, tmp_path: Path) -> None:
    shares = "\n".join(share.text() for share in split(KEY, 2, 2))
    opened = prefork.run("vault", "unseal", "--config", config, input_=shares)
    assert opened.returncode == Exit.DONE, opened.stderr
    assert (place / "vault.key").exists()
    sealed = prefork.run("vault", "seal", "--config", config)
    assert (sealed.returncode, "the vault is closed on node1" in sealed.stderr) == (Exit.DONE, True), sealed.stderr
    assert not (place / "vault.key").exists()
    again = prefork.run("vault", "seal", "--config", config)
    assert (again.returncode, "closed already" in again.stderr) == (Exit.DONE, True), again.stderr
    assert actions(tmp_path) == ["vault.unseal", "vault.seal"]
