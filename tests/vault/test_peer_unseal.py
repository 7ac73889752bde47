"""Whoever stands between two nodes, or is told not to take part, opens no vault: both ends are the real ones."""

import asyncio
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
from rppam.kernel.secret import Secret
from rppam.ledger.store import Query, SqlLedger
from rppam.ledger.tables import audit_events
from rppam.vault import peer_unseal
from rppam.vault.errors import UnsealPlaceWrong
from rppam.vault.keys import master_of, unsealed_key
from rppam.vault.peer_agreement import AGREE, CONFIRM, Questions, agreed
from rppam.vault.peer_unseal import ORDER, PeerUnseal, answer
from rppam.vault.unsealed import file_system_of, keep
from tests.support.parsing import REDIS, parse
from tests.vault.test_sealing import kept, ring

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
        told = await answer(settings, None, "through", json.loads(body)["arguments"])
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
        await answer(opened, None, "through", {"key": key})


class Members:
    """Nodes that speak to each other, each by an end of its own; ``deaf``: nothing comes through to these."""

    def __init__(self, nodes: dict[str, Settings], asks: PeerUnseal | None = None) -> None:
        self.nodes, self.questions = nodes, Questions() if asks is None else asks.questions
        self.deaf: set[str] = set()
        self.old: set[str] = set()
        """Of a release that knows no such question."""
        self.asked: list[tuple[str, str, str]] = []

    def end(self, name: str) -> "End":
        return End(self, name)


class End:
    """The way from one of them to the others."""

    witnesses = ("witness",)

    def __init__(self, members: Members, own: str) -> None:
        self.members, self.own = members, own
        self.peers = dict.fromkeys(sorted({*members.nodes, "witness"} - {own}))

    async def order(self, to: str, body: str, url: str | None) -> str:
        there, given = self.members.end(to), json.loads(body)
        self.members.asked.append((self.own, given["order"], to))
        assert to not in self.witnesses
        if to in self.members.deaf:
            if given["order"] == ORDER:
                raise ValueError("it is away")
            await asyncio.sleep(60)
        settings = self.members.nodes[to]
        if to in self.members.old and given["order"] != ORDER:
            return json.dumps({"error": "", "text": "no order that may come from another node"})
        if given["order"] == ORDER:
            return json.dumps(await answer(settings, there, self.own, given["arguments"]))
        if given["order"] == AGREE:
            return json.dumps(await agreed(settings, there, self.own, given["arguments"]))
        assert given["order"] == CONFIRM
        questions = self.members.questions if to == "closed" else Questions()
        return json.dumps(await questions.confirm(self.own, given["arguments"]))


Names = tuple[str, ...]


def company(place: Path, tmp_path: Path, *names: str, **vault: object) -> Members:
    """``closed``, and others of which ``opened`` is open."""
    nodes = {name: node(name, place, tmp_path, **vault) for name in ("closed", "opened", *names)}
    keep(nodes["opened"].vault.unsealed_path, KEY, tmp_path)
    return Members(nodes)


async def opens(members: Members, database: Database) -> tuple[bool, str]:
    """Whether ``closed`` is opened by the others, and what it says."""
    settings = members.nodes["closed"]
    task = PeerUnseal(settings, database, members.end("closed"))
    members.questions = task.questions
    said = await task.look()
    return settings.vault.unsealed_path.exists(), said


async def unsealings(database: Database) -> list[dict[str, Any]]:
    return [one.document()["details"] for one in await SqlLedger(database).events(Query("vault.unseal"))]


async def test_a_second_member_asks_the_sealed_one_itself_and_is_recorded(
    database: Database, place: Path, tmp_path: Path
) -> None:
    members = company(place, tmp_path, "third")
    assert await opens(members, database) == (True, "")
    assert members.asked == [("closed", ORDER, "opened"), ("opened", AGREE, "third"), ("third", CONFIRM, "closed")]
    assert unsealed_key(members.nodes["closed"]) == KEY
    assert await unsealings(database) == [{"by": "opened", "agreed": ["third"]}]


@pytest.mark.parametrize("away", ["deaf", "old"])
async def test_without_a_second_member_it_stays_sealed_and_says_why(
    database: Database, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    monkeypatch.setattr("rppam.vault.peer_agreement.AGREE_S", 0.05)
    members = company(place, tmp_path, "third")
    getattr(members, away).add("third")
    is_open, said = await opens(members, database)
    assert not is_open
    why = {"deaf": "third: no answer within 0.05 s", "old": "third: no order that may come from another node"}[away]
    expected = "the vault stays sealed here: opened has its key, and 2 members have to agree "
    assert said == f"{expected}(vault.peerUnsealMembers), found 1: {why}"
    assert await unsealings(database) == []
    getattr(members, away).clear()
    assert await opens(members, database) == (True, "")


@pytest.mark.parametrize(
    ("needed", "others", "deaf", "opened"),
    [
        (1, ("third", "fourth"), ("third", "fourth"), True),
        (2, ("third", "fourth"), ("third",), True),
        (2, ("third", "fourth"), ("third", "fourth"), False),
        (3, ("third", "fourth"), ("third",), False),
        (3, ("third", "fourth"), (), True),
        (2, (), (), True),
        (5, ("third",), (), True),
        (5, ("third",), ("third",), False),
    ],
)
async def test_as_many_agree_as_the_config_says_or_all_that_there_are(
    database: Database,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    needed: int,
    others: Names,
    deaf: Names,
    *,
    opened: bool,
) -> None:
    monkeypatch.setattr("rppam.vault.peer_agreement.AGREE_S", 0.05)
    members = company(place, tmp_path, *others, peerUnsealMembers=needed)
    members.deaf.update(deaf)
    assert (await opens(members, database))[0] is opened


async def test_whoever_asks_in_the_name_of_a_node_that_has_not_asked_gets_nothing(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = company(place, tmp_path, "third")
    key = base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    told = await answer(members.nodes["opened"], members.end("opened"), "closed", {"key": key})
    assert told["sealed"] == ""
    assert "third: closed says that it has not asked so" in told["said"]
    assert "with a key pair that it has not made" in caplog.text
    # Nor does one member vouch for itself, for a witness or for a stranger.
    for name in ("third", "witness", "stranger"):
        told = await agreed(members.nodes["opened"], members.end("opened"), "third", {"node": name, "key": key})
        assert told == {"said": f"{name} is no other node of its members", "agrees": False}


async def test_one_that_takes_no_part_agrees_to_nothing(database: Database, place: Path, tmp_path: Path) -> None:
    members = company(place, tmp_path, "third")
    members.nodes["third"] = node("third", place, tmp_path, peerUnseal=False)
    is_open, said = await opens(members, database)
    assert (is_open, "third: it takes no part" in said) == (False, True)


async def test_a_key_that_opens_nothing_of_the_vault_is_not_taken_whoever_gives_it(
    database: Database, place: Path, tmp_path: Path
) -> None:
    """Else one member that was taken would close the vault of each other one that restarts."""
    await kept(database, ring(master_of(Secret(KEY.hex()))), "some")
    closed, wrong, right = (node(name, place, tmp_path) for name in ("closed", "wrong", "right"))
    keep(wrong.vault.unsealed_path, secrets.token_bytes(32), tmp_path)
    keep(right.vault.unsealed_path, KEY, tmp_path)
    said = await PeerUnseal(closed, database, Between({"wrong": wrong})).look()
    assert said.startswith("the vault stays sealed here: the master key that wrong gave opens nothing of it")
    assert (closed.vault.unsealed_path.exists(), await unsealings(database)) == (False, [])
    assert await PeerUnseal(closed, database, Between({"wrong": wrong, "right": right})).look() == ""
    assert unsealed_key(closed) == KEY
    assert await unsealings(database) == [{"by": "right"}]


async def test_where_the_key_cannot_lie_is_said_and_the_ledger_put_right(
    database: Database, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, opened = node("closed", place, tmp_path), node("opened", place, tmp_path)
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    task = PeerUnseal(closed, database, Between({"opened": opened}))
    (place / "closed").write_text("no folder")
    with pytest.raises(UnsealPlaceWrong, match="expected a place to write to"):
        await task.look()
    assert await unsealings(database) == []
    (place / "closed").unlink()

    def full(*_: object) -> None:
        raise UnsealPlaceWrong("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(peer_unseal, "keep", full)
        with pytest.raises(UnsealPlaceWrong):
            await task.look()
        assert len(await unsealings(database)) == 1
        assert await task.look() == ""  # a round in doubt
        with pytest.raises(UnsealPlaceWrong):
            await task.look()
    (sealed,) = await SqlLedger(database).events(Query("vault.seal"))
    assert "it was found closed" in sealed.document()["reason"]
    assert not closed.vault.unsealed_path.exists()


async def test_while_the_master_key_changes_the_next_one_is_taken(
    database: Database, place: Path, tmp_path: Path
) -> None:
    before = secrets.token_bytes(32)
    (tmp_path / "old.key").write_bytes(base64.b64encode(before))
    (tmp_path / "old.key").chmod(0o600)
    await kept(database, ring(master_of(Secret(before.hex()))), "some")
    more = {"keySourceBefore": "file", "keyPath": str(tmp_path / "old.key")}
    closed, opened = node("closed", place, tmp_path, **more), node("opened", place, tmp_path, **more)
    keep(opened.vault.unsealed_path, KEY, tmp_path)
    assert await PeerUnseal(closed, database, Between({"opened": opened})).look() == ""
    assert unsealed_key(closed) == KEY
