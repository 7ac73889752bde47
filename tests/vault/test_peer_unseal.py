"""Whoever stands between two nodes, or is told not to take part, opens no vault: both ends are the real ones."""

import base64
import json
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import select

from rppam.config.settings import Settings
from rppam.db.database import Database
from rppam.ledger.tables import audit_events
from rppam.vault.keys import unsealed_key
from rppam.vault.peer_unseal import PeerUnseal, answer
from rppam.vault.unsealed import file_system_of, keep
from tests.support.parsing import REDIS, parse

MEMORY = Path("/dev/shm")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(file_system_of(MEMORY) != "tmpfs", reason="no file system in memory here"),
]
KEY = secrets.token_bytes(32)
Answer = dict[str, Any]
Alter = Callable[[Answer], Any]


@pytest.fixture
def place() -> Iterator[Path]:
    folder = MEMORY / f"rppam-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def node(name: str, place: Path, tmp_path: Path, **vault: object) -> Settings:
    own = {"keySource": "shares", "unsealedPath": str(place / name / "vault.key"), **vault}
    return parse({"node": {"nodeName": name, "dataDir": str(tmp_path)}, "redis": REDIS, "vault": own})


class Between:
    """The way to other nodes, with somebody on it. Answers as they do, and what is made of it."""

    witnesses = ("witness",)

    def __init__(self, nodes: dict[str, Settings], alter: Alter = lambda told: told) -> None:
        self.peers = {**nodes, "witness": None}
        self.alter = alter
        self.asked: list[str] = []
        self.heard: list[Answer] = []

    async def order(self, to: str, body: str, url: str | None) -> str:
        assert url is None
        self.asked.append(to)
        settings = self.peers[to]
        assert settings is not None, "a witness has no vault"
        told = await answer(settings, "through", json.loads(body)["arguments"])
        self.heard.append(told)
        return json.dumps(self.alter(dict(told)))


def flipped(told: Answer) -> Answer:
    sealed = bytearray(base64.b64decode(told["sealed"]))
    sealed[-1] ^= 1
    return told | {"sealed": base64.b64encode(sealed).decode()}


def another_pair(told: Answer) -> Answer:
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    return told | {"key": base64.b64encode(public).decode()}


ALTERED: dict[str, Alter] = {
    "a bit": flipped,
    "the pair key": another_pair,
    "a pair key that gives every secret": lambda told: told | {"key": base64.b64encode(bytes(32)).decode()},
    "no pair key": lambda told: {"said": "", "sealed": told["sealed"]},
    "a pair key that is none": lambda told: told | {"key": 5},
    "what is sealed": lambda told: told | {"sealed": [1]},
    "not base64": lambda told: told | {"sealed": "?"},
    "cut": lambda told: told | {"sealed": told["sealed"][:8]},
    "a list": lambda told: [told],
    "a word": lambda told: "sealed",
}


@pytest.mark.parametrize("what", ALTERED)
async def test_an_altered_answer_opens_nothing_and_the_next_node_is_asked(
    database: Database, place: Path, tmp_path: Path, what: str
) -> None:
    closed, wrong, right = (node(name, place, tmp_path) for name in ("closed", "wrong", "right"))
    for settings in (wrong, right):
        keep(settings.vault.unsealed_path, KEY, tmp_path)
    link = Between({"wrong": wrong}, ALTERED[what])
    alone = PeerUnseal(closed, database, link)
    await alone.look()
    assert link.asked == ["wrong"]
    assert not closed.vault.unsealed_path.exists()
    link = Between({"wrong": wrong, "right": right})
    link.alter = lambda told: ALTERED[what](told) if len(link.asked) == 1 else told
    await PeerUnseal(closed, database, link).look()
    assert link.asked == ["wrong", "right"]
    assert unsealed_key(closed) == KEY


async def test_an_answer_to_an_earlier_question_opens_nothing(database: Database, place: Path, tmp_path: Path) -> None:
    closed, opened = node("closed", place, tmp_path), node("opened", place, tmp_path)
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    link = Between({"opened": opened}, lambda told: link.heard[0] if len(link.heard) > 1 else "lost")
    for _ in range(2):
        await PeerUnseal(closed, database, link).look()
    assert (len(link.heard), closed.vault.unsealed_path.exists()) == (2, False)
    assert link.heard[0]["sealed"] != link.heard[1]["sealed"]
    assert not any(base64.b64encode(KEY).decode() in json.dumps(one) for one in link.heard)


async def test_a_node_that_takes_no_part_neither_asks_nor_answers(
    database: Database, place: Path, tmp_path: Path
) -> None:
    shy = node("shy", place, tmp_path, peerUnseal=False)
    closed, opened = node("closed", place, tmp_path), node("opened", place, tmp_path)
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    link = Between({"opened": opened})
    await PeerUnseal(shy, database, link).look()
    assert (link.asked, shy.vault.unsealed_path.exists()) == ([], False)
    keep(shy.vault.unsealed_path, KEY, tmp_path)
    link = Between({"shy": shy})
    await PeerUnseal(closed, database, link).look()
    assert link.heard == [{"said": "", "sealed": ""}]
    assert not closed.vault.unsealed_path.exists()


async def test_an_opening_is_recorded_with_the_node_that_gave_the_key(
    database: Database, place: Path, tmp_path: Path
) -> None:
    closed, opened = node("closed", place, tmp_path), node("opened", place, tmp_path)
    task = PeerUnseal(closed, database, Between({"opened": opened}))
    await task.look()  # both are sealed
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    for _ in range(2):
        await task.look()
    wanted = select(audit_events.c.action)
    actions = await database.read(lambda connection: list(connection.scalars(wanted)))
    assert actions == ["vault.unseal"]


@pytest.mark.parametrize("key", ["", "?", base64.b64encode(bytes(32)).decode(), base64.b64encode(bytes(5)).decode()])
async def test_what_is_no_question_is_refused(place: Path, tmp_path: Path, key: str) -> None:
    opened = node("opened", place, tmp_path)
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, nothing was sealed for that key
        await answer(opened, "through", {"key": key})
