"""A vault that is opened by shares: sealed at the start, opened on one node, and by that one on the others."""

import asyncio
import base64
import json
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rppam.cli.recorded import record_before
from rppam.config.load import load_settings
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import Exit
from rppam.ledger.acts import Act
from rppam.ledger.model import Entity
from rppam.ledger.store import Query, SqlLedger
from rppam.vault.errors import UnsealPlaceWrong
from rppam.vault.peer_unseal import DOUBTS, PeerUnseal
from rppam.vault.shamir import split
from rppam.vault.unsealed import file_system_of, forget, keep
from tests.support import prefork
from tests.support.full_ledger import WHY, fill
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

MEMORY = Path("/dev/shm")
in_memory = pytest.mark.skipif(file_system_of(MEMORY) != "tmpfs", reason="no file system in memory here")


@pytest.fixture
def place() -> Iterator[Path]:
    folder = MEMORY / f"rppam-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_what_is_not_in_memory_is_refused(tmp_path: Path) -> None:
    if file_system_of(tmp_path) in {"tmpfs", "ramfs"}:
        pytest.skip("everything is in memory here")
    with pytest.raises(UnsealPlaceWrong, match="expected a file system in memory"):
        keep(tmp_path / "vault.key", bytes(32), tmp_path)
    assert list(tmp_path.iterdir()) == []


@in_memory
def test_it_lies_there_closed_to_others_until_it_is_sealed(place: Path, tmp_path: Path) -> None:
    key = secrets.token_bytes(32)
    keep(place / "vault.key", key, tmp_path)
    assert base64.b64decode((place / "vault.key").read_text()) == key
    assert (place / "vault.key").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in place.iterdir()] == ["vault.key"]
    assert forget(place / "vault.key")
    assert not forget(place / "vault.key")


def put(lab: Lab, node: LabNode, name: str) -> tuple[int, str]:
    body = {"folder": "lab", "name": name, "type": "note", "fields": {"text": "a secret"}}
    asked = node.ask("/api/v1/vault/entries", token=lab.token, method="POST", send=body, timeout_s=10)
    return asked.status, str(asked.body.get("code", ""))


def unseal(node: LabNode, *shares: str) -> subprocess.CompletedProcess[str]:
    return prefork.run("vault", "unseal", "--config", str(node.folder / "rppam.config"), input_="\n".join(shares))


@in_memory
@pytest.mark.integration
@pytest.mark.server
@pytest.mark.slow
def test_one_ceremony_opens_a_cluster_and_a_restarted_host_waits_for_nobody(
    make_lab: MakeLab, place: Path, tmp_path: Path
) -> None:
    made = prefork.run("vault", "ceremony", "--shares", "3", "--threshold", "2", "--out", str(tmp_path / "shares"))
    assert made.returncode == Exit.DONE, made.stderr
    shares = [(tmp_path / "shares" / f"share-{number}").read_text().strip() for number in (1, 2, 3)]
    lab = make_lab(times=CALM, policy="majority")
    for node in lab.nodes:
        key = place / node.name / "vault.key"
        node.config["vault"] = {"keySource": "shares", "unsealedPath": str(key), "revealFactor": "none"}
    lab.start()
    lab.wait_for_leader()
    first, *others = lab.nodes
    assert put(lab, first, "one") == (503, "RPPAM-8425"), "sealed at the start"
    few = unseal(first, shares[0])
    assert few.returncode != 0
    assert "RPPAM-8426" in few.stderr
    assert shares[0] not in few.stderr
    done = unseal(first, shares[2], shares[0])
    assert done.returncode == Exit.DONE, done.stderr
    for number, node in enumerate(others):
        eventually(
            lambda node=node, number=number: put(lab, node, f"of {number}")[0] == 201,  # type: ignore[misc]
            within_s=15,
            what="an open vault on a node that nobody has opened",
            say=lab.logs,
        )
    lab.wait_until_healthy()
    (place / others[0].name / "vault.key").unlink()  # as a reboot does
    eventually((place / others[0].name / "vault.key").exists, within_s=15, what="the key from another", say=lab.logs)
    events = first.ask("/api/v1/audit/events?action=vault.unseal", token=lab.token, timeout_s=10).body["events"]
    assert {one["details"]["by"] for one in events} >= {"shares", first.name}


class Host(NamedTuple):
    """A node's host that stands still: its config, and where the key lies while the vault is open."""

    config: Path
    key: Path
    shares: tuple[str, ...]
    database: Database

    def command(self, word: str) -> subprocess.CompletedProcess[str]:
        given = "\n".join(self.shares) if word == "unseal" else ""
        return prefork.run("vault", word, "--config", str(self.config), input_=given)

    def node(self) -> PeerUnseal:
        """The part of the node that looks after it."""
        return PeerUnseal(load_settings(self.config), self.database, None)

    async def told(self) -> list[tuple[str, str, str, str]]:
        events = [one.document() for one in await SqlLedger(self.database).events(Query("vault."))]
        assert {one["object"]["id"] for one in events} <= {"node1"}
        return [(one["action"], one["actor"]["kind"], one["details"].get("by", ""), one["reason"]) for one in events]


@pytest.fixture
async def standing(url: str, open_database: Callable[..., Any], place: Path, tmp_path: Path) -> Host:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    config, key = tmp_path / "rppam.config", place / "vault.key"
    tree = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path)},
        "auth": {"jwtKeysDir": str(keys), "clusterKeyPath": str(tmp_path / "cluster.key")},
        "database": {"url": url},
        "vault": {"keySource": "shares", "unsealedPath": str(key)},
    }
    config.write_text(json.dumps(tree))
    config.chmod(0o600)
    shares = tuple(share.text() for share in split(secrets.token_bytes(32), 2, 2))
    return Host(config, key, shares, await open_database(url))


@in_memory
@pytest.mark.integration
@pytest.mark.server
async def test_what_the_ledger_does_not_take_stays_closed_and_a_closing_waits_for_nothing(standing: Host) -> None:
    await fill(standing.database, full=True)
    refused = standing.command("unseal")
    assert (refused.returncode != Exit.DONE, WHY in refused.stderr) == (True, True), refused.stderr
    assert "the vault stays closed, as its opening cannot be recorded" in refused.stderr
    assert list(standing.key.parent.parent.glob(f"{standing.key.parent.name}/*")) == []
    await fill(standing.database, full=False)
    assert standing.command("unseal").returncode == Exit.DONE
    node = standing.node()
    await node.look()
    opened = ("vault.unseal", "host", "shares", "")
    assert await standing.told() == [opened], "recorded once"
    await fill(standing.database, full=True)
    closed = standing.command("seal")
    assert closed.returncode == Exit.DONE, closed.stderr
    assert not standing.key.exists()
    assert "node1 records it once its database answers" in closed.stderr
    for _ in range(DOUBTS - 1):
        await node.look()
    with pytest.raises(DatabaseError):
        await node.look()
    await fill(standing.database, full=False)
    for _ in range(DOUBTS):
        await node.look()
    why = "it was found closed: by a restart of the host, or by a command that could not record it"
    late = ("vault.seal", "node", "", why)
    assert await standing.told() == [opened, late]
    assert standing.command("seal").returncode == Exit.DONE
    await node.look()
    assert await standing.told() == [opened, late], "it was closed already"


@in_memory
@pytest.mark.integration
@pytest.mark.server
async def test_a_node_records_what_it_finds_once_and_not_between_a_record_and_its_act(standing: Host) -> None:
    node = standing.node()
    await node.look()
    assert await standing.told() == [], "nothing was opened"
    act = Act("vault.unseal", Entity("vault-key", "node1", "node1"), {"by": "shares"})
    await asyncio.to_thread(record_before, load_settings(standing.config), act)
    await standing.node().look()
    keep(standing.key, bytes(32), standing.config.parent)
    for _ in range(3):
        await node.look()
    assert [one[0] for one in await standing.told()] == ["vault.unseal"]
    assert standing.command("seal").returncode == Exit.DONE
    await node.look()
    keep(standing.key, bytes(32), standing.config.parent)
    for _ in range(3):
        await standing.node().look()
    again = standing.node()
    for _ in range(3):
        await again.look()
    assert [one[0] for one in await standing.told()] == ["vault.unseal", "vault.seal", "vault.unseal"]
    assert (await standing.told())[2][1:] == ("node", "", "it was found open")
