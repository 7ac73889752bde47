"""``rppam audit tail``, ``list`` and ``export`` as somebody uses them, and bundles far from any database."""

import asyncio
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from rppam.audit.reading import PAGE
from rppam.db.database import Database
from rppam.kernel.actor import Actor, ActorKind
from rppam.ledger.checkpoint import Signer
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from tests.audit.test_command import config, watched  # noqa: F401 - fixtures
from tests.audit.test_watch import Node, keys_of
from tests.support import prefork

pytestmark = [pytest.mark.integration, pytest.mark.server]

rppam = partial(prefork.run, "audit")
ANNA, BERTA = (Actor(ActorKind.USER, f"id-{name}", name) for name in ("anna", "berta"))


async def act(node: Node, start: int, count: int, actor: Actor = ANNA, action: str = "user.change") -> None:
    """So many acts of somebody, numbered, and each in its place."""

    def work(connection: Connection) -> None:
        for number in range(start, start + count):
            record(connection, action, Entity("user", f"id-{number}", f"name-{number}"), actor=actor)

    await node.database.write(work)
    await node.integrator.work(7)


class Following:
    """``rppam audit tail --json`` and the events that it has shown."""

    def __init__(self, *words: str | Path) -> None:
        command = [sys.executable, "-m", "rppam", "audit", "tail", "--json", *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=prefork.ROOT)
        self.events: list[dict[str, Any]] = []
        self._rest = b""
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()

    def look(self, within_s: float) -> bool:
        """Whether something more was shown."""
        if not select.select([self._pipe], [], [], within_s)[0]:
            return False
        *lines, self._rest = (self._rest + os.read(self._pipe, 1 << 16)).split(b"\n")
        self.events += map(json.loads, lines)
        return bool(lines)

    def wait_for(self, ident: str, within_s: float = 10.0) -> None:
        until = time.monotonic() + within_s
        while not any(one["object"]["id"] == ident for one in self.events):
            left = until - time.monotonic()
            assert left > 0, (ident, self.events[-3:])
            self.look(left)

    def end(self) -> tuple[int, str]:
        """Exit code after Ctrl-C, and what it complained of."""
        self.process.send_signal(signal.SIGINT)
        rest, said = self.process.communicate(timeout=20)
        self.events += map(json.loads, (self._rest + rest).splitlines())
        return self.process.returncode, said.decode()


@contextmanager
def following(*words: str | Path) -> Iterator[Following]:
    tail = Following(*words)
    try:
        yield tail
    finally:
        tail.process.kill()
        tail.process.communicate()


async def begin(tail: Following, node: Node) -> int:
    """Act until it follows; how often that was."""
    for number in range(600):
        await act(node, number, 1)
        if tail.look(0.1):
            return number + 1
    raise AssertionError("it follows nothing")


async def test_tail_shows_each_event_once_in_the_order_of_the_tree_while_they_come(
    config: Path,  # noqa: F811
    watched: Node,  # noqa: F811
    url: str,
    open_database: Callable[..., Any],
) -> None:
    other = Node(await open_database(url), watched.file.path.parent)
    with following("--config", config) as tail, following("--config", config, "--actor", "berta") as hers:
        next_ = await begin(tail, watched)
        await act(watched, 0, 1, BERTA)
        for _ in range(600):
            if hers.look(0.1):
                break
            await act(watched, 0, 1, BERTA)
        for count in (1, 3, 600):
            await act(watched, next_, count)
            await act(other, next_ + count, 2, BERTA)
            next_ += count + 2
            tail.wait_for(f"id-{next_ - 1}")  # before the next ones are there
            hers.wait_for(f"id-{next_ - 1}")
        for one in (tail, hers):
            code, said = one.end()
            assert (code, said) == (0, "")
        places = [one["index"] for one in tail.events]
        assert places == list(range(places[0], places[0] + len(places))), "all of them, in order, and none twice"
        assert {one["actor"]["name"] for one in tail.events} >= {"anna", "berta"}
        assert {one["actor"]["name"] for one in hers.events} == {"berta"}
        assert [one["index"] for one in hers.events] == sorted({one["index"] for one in hers.events})


def shown(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Of an export a line each, of a list one document."""
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if len(found) == 1 and "items" in found[0]:
        items: list[dict[str, Any]] = found[0]["items"]
        return items
    return found


async def test_what_a_node_did_by_itself_is_shown_with_its_name(config: Path, watched: Node, url: str) -> None:  # noqa: F811
    def work(connection: Connection) -> None:
        record(connection, "leader.elect", Entity("node", "node1", "node1"), actor=Actor(ActorKind.NODE))

    assert await watched.database.read(lambda _: True), "the database is made"
    database = Database(url, node="node2")
    await database.start()
    try:
        await database.write(work)
    finally:
        await database.stop()
    line = rppam("list", "--config", config, "--action", "leader.elect").stdout.splitlines()[-1]
    assert line.endswith("  node2 -> node node1")


@pytest.mark.parametrize("command", ["list", "export"])
async def test_list_and_export_show_what_the_filters_say_and_nothing_else(
    config: Path,  # noqa: F811
    watched: Node,  # noqa: F811
    command: str,
) -> None:
    for start, actor in ((100, ANNA), (110, BERTA), (120, ANNA)):
        await act(watched, start, 10, actor)
        await asyncio.sleep(0.02)

    def found(*words: str) -> list[int]:
        events = shown(rppam(command, "--config", config, "--json", "--action", "user.change", *words))
        return [int(one["object"]["id"].removeprefix("id-")) for one in events]

    everything = shown(rppam(command, "--config", config, "--json", "--action", "user.change"))
    times = {int(one["object"]["id"].removeprefix("id-")): one["time"] for one in everything}
    assert list(times) == list(range(100, 130))
    assert found("--actor", "berta") == list(range(110, 120))
    assert found("--actor", "nobody") == []
    assert found("--object", "id-113") == [113], "by its id"
    assert found("--object", "name-113") == [113], "by its name"
    assert found("--object", "user") == list(range(100, 130)), "by its kind"
    first, second, third = (times[number] for number in (100, 110, 120))
    assert first < second < third
    assert found("--since", second) == list(range(110, 130)), "this moment or later"
    assert found("--until", second) == list(range(100, 110)), "before this moment"
    assert found("--since", second, "--until", third) == list(range(110, 120))
    assert found("--since", second, "--actor", "anna") == list(range(120, 130))
    assert found("--until", third, "--actor", "anna", "--object", "name-104") == [104]
    assert found("--since", third.replace("Z", "+00:00"), "--object", "name-104") == []
    wrong = rppam(command, "--config", config, "--since", "yesterday")
    assert wrong.returncode == 2
    assert "expected a time in ISO 8601" in " ".join(wrong.stderr.split())
    assert wrong.stdout == ""


async def test_verify_takes_the_key_that_it_is_given(config: Path, watched: Node, tmp_path: Path) -> None:  # noqa: F811
    verifier = await keys_of(watched.database).verifier()
    assert verifier is not None
    bundle = tmp_path / "ledger.jsonl"
    assert rppam("export", "--config", config, "--bundle", bundle).returncode == 0
    other = Signer(verifier.name, Ed25519PrivateKey.generate()).verifier()
    for what in (("--config", config), (bundle,)):
        assert rppam("verify", *what, "--key", verifier.text()).returncode == 0
        judged = rppam("verify", *what, "--key", other.text(), "--json")
        assert (judged.returncode, json.loads(judged.stdout)["whole"]) == (1, False), judged.stderr
        assert "has not signed it" in json.loads(judged.stdout)["sentence"]
        for typed in (verifier.text()[:-3], "key", verifier.text().replace("rppam/", "")):
            mistyped = rppam("verify", *what, "--key", typed)
            assert (mistyped.returncode, mistyped.stdout) == (2, ""), "mistyped is not tampered with"
            assert "NAME+ID+BASE64" in " ".join(mistyped.stderr.split()) or "key's id" in mistyped.stderr


def cold(*words: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process that shares nothing with this one."""
    command = [sys.executable, "-m", "rppam", "audit", *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, cwd=folder, env=environment
    )  # fmt: skip


async def test_a_bundle_is_verified_where_there_is_nothing_but_the_bundle(
    config: Path,  # noqa: F811
    watched: Node,  # noqa: F811
    tmp_path: Path,
) -> None:
    await watched.watch.check()
    verifier = await keys_of(watched.database).verifier()
    assert verifier is not None
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    bundle = empty / "ledger.jsonl"
    assert rppam("export", "--config", config, "--bundle", bundle).returncode == 0
    (tmp_path / config.name).unlink()
    environment = {"PATH": os.environ["PATH"], "RPPAM_CONFIG": str(config), "HOME": str(empty)}
    done = cold("verify", "ledger.jsonl", "--key", verifier.text(), "--json", folder=empty, environment=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"whole": True, "events": 23, "cosigned": {"rppam/test/node1": 23}}
    assert [one.name for one in empty.iterdir()] == ["ledger.jsonl"], "it leaves nothing behind"


def on_terminal(*words: str | Path, output: Path) -> tuple[int, str]:
    """The exit code of a command whose stderr is a terminal, and what was drawn there."""
    ours, theirs = pty.openpty()
    with output.open("w") as file:
        command = [sys.executable, "-m", "rppam", "audit", *map(str, words)]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
        process = subprocess.Popen(command, stdout=file, stderr=theirs, env=environment)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        drawn += part
    os.close(ours)
    return process.wait(60), drawn.decode()


async def test_long_work_tells_how_far_it_is_on_a_terminal_and_short_work_does_not(
    sqlite_url: str, open_database: Callable[..., Any], tmp_path: Path
) -> None:
    place = tmp_path / "rppam.config"
    place.write_text(json.dumps({"node": {"dataDir": str(tmp_path)}, "database": {"url": sqlite_url}}))
    place.chmod(0o600)
    node = Node(await open_database(sqlite_url), tmp_path)
    await act(node, 0, 100)
    bundle, out = tmp_path / "ledger.jsonl", tmp_path / "out"
    mine = ["--action", "user.change"]
    commands: list[tuple[str, list[str | Path]]] = [
        ("exporting", ["export", "--config", place, "--bundle", bundle]),
        ("verifying", ["verify", bundle]),
        ("verifying", ["verify", "--config", place]),
        ("archiving", ["archive", "--config", place, tmp_path / "archive.jsonl"]),
        ("exporting", ["export", "--config", place, "--json", *mine]),
    ]
    for label, words in commands[:2]:
        code, drawn = on_terminal(*words, output=out)
        assert (code, label in drawn) == (0, False), drawn
    for start in range(100, PAGE + 200, 1_000):
        await act(node, start, 1_000)
    for label, words in commands:
        code, drawn = on_terminal(*words, output=out)
        assert code == 0, drawn
        assert label in drawn
        assert "100%" in drawn
    shown_events = [json.loads(line) for line in (tmp_path / out.name).read_text().splitlines()]
    assert len(shown_events) > PAGE
    assert {one["action"] for one in shown_events} == {"user.change"}, "progress is not among them"
