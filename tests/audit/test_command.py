"""``rppam audit`` against a real database and on a bundle, with no node running."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rppam.db.database import Database
from rppam.ledger.errors import LedgerRolledBack
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Query, SqlLedger
from tests.audit.test_watch import Node

pytestmark = [pytest.mark.integration, pytest.mark.server]


def rppam(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rppam", "audit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
async def config(url: str, database: Database, tmp_path: Path) -> Path:
    path = tmp_path / "rppam.config"
    path.write_text(json.dumps({"node": {"dataDir": str(tmp_path)}, "database": {"url": url}}))
    path.chmod(0o600)
    await Node(database, tmp_path).act(20)
    return path


@pytest.fixture
def watched(database: Database, tmp_path: Path) -> Node:
    """The node of this host, as one that watches."""
    return Node(database, tmp_path)


async def test_list_verify_and_export_tell_the_same_story(config: Path, tmp_path: Path) -> None:
    listed = rppam("list", "--config", config, "--json", "--all")
    assert listed.returncode == 0, listed.stderr
    events = json.loads(listed.stdout)["items"]
    keys = {"id", "index", "time", "action", "actor", "object", "outcome", "reason", "node", "epoch"}
    assert len(events) == 23
    assert all(keys <= set(event) for event in events)
    assert "user.create" in rppam("list", "--config", config, "--action", "user.", "--limit", "1").stdout
    whole = rppam("verify", "--config", config, "--json")
    assert (whole.returncode, json.loads(whole.stdout)) == (0, {"whole": True, "events": 23, "cosigned": {}})
    assert "whole: 23 events" in rppam("verify", "--config", config).stdout
    bundle = tmp_path / "ledger.jsonl"
    assert rppam("export", "--config", config, "--bundle", bundle).returncode == 0
    assert json.loads(rppam("verify", bundle, "--json").stdout) == {"whole": True, "events": 23, "cosigned": {}}
    exported = rppam("export", "--config", config, "--json")
    assert sorted(json.loads(line)["id"] for line in exported.stdout.splitlines()) == sorted(
        one["id"] for one in events
    )
    assert rppam("tail", "--config", config, "--for", "0.1").returncode == 0


async def test_tampering_ends_with_1_and_names_the_place(config: Path, database: Database, tmp_path: Path) -> None:
    (event,) = await SqlLedger(database).events(Query(object="id-3"))
    change = text("UPDATE audit_events SET body = REPLACE(body, 'id-3', 'id-4') WHERE object_id = 'id-3'")
    await database.write(lambda connection: connection.execute(change).close())
    judged = rppam("verify", "--config", config, "--json")
    assert judged.returncode == 1, judged.stderr
    found = json.loads(judged.stdout)
    assert found["whole"] is False
    assert found["place"] == f"event {event.index}", "itself, and not the one that follows it"
    said = f"the ledger was tampered with, at event {event.index}: its text is not the one that was hashed."
    assert rppam("verify", "--config", config).stderr.startswith(f"rppam audit verify: {said} Keep a copy")


async def test_what_this_host_has_seen_counts(config: Path, database: Database, watched: Node) -> None:
    assert await watched.watch.check() == ""
    back = text("DELETE FROM audit_checkpoints")
    await database.write(lambda connection: connection.execute(back).close())
    judged = rppam("verify", "--config", config)
    assert judged.returncode == 1, judged.stderr


async def test_a_restored_ledger_is_taken_over_by_a_command_that_is_recorded(
    config: Path, database: Database, watched: Node
) -> None:
    file, watch = watched.file, watched.watch
    await watch.check()
    seen = file.read()
    assert seen is not None
    file.write(seen._replace(checkpoint=seen.checkpoint._replace(size=99)))
    with pytest.raises(LedgerRolledBack):
        await watch.check()
    assert rppam("adopt", "--config", config).returncode == 2, "a reason is needed"
    taken = rppam("adopt", "--config", config, "--reason", "restored on purpose", "--json")
    assert json.loads(taken.stdout)["size"] == 23, taken.stderr
    assert await watch.check() == ""
    (event,) = await SqlLedger(database).events(Query("ledger.adopt"))
    assert event.document()["details"] | {"node": ""} == {"seen": 99, "adopted": 23, "node": ""}
    assert event.document()["reason"] == "restored on purpose"


def test_could_not_look_is_2_and_never_whole(tmp_path: Path) -> None:
    asked: list[list[str | Path]] = [["verify", tmp_path / "none"], ["verify", "--config", tmp_path / "none", "--json"]]
    for words in asked:
        judged = rppam(*words)
        assert judged.returncode == 2, judged.stderr
    config = tmp_path / "rppam.config"
    config.write_text(json.dumps({"database": {"url": "postgresql://a:b@127.0.0.1:1/x?sslmode=disable"}}))
    config.chmod(0o600)
    away = rppam("verify", "--config", config, "--json")
    assert away.returncode == 2, away.stdout + away.stderr
    assert json.loads(away.stdout)["whole"] is None


async def test_an_empty_ledger_could_not_be_judged(url: str, open_database: Callable[..., Any], tmp_path: Path) -> None:
    await open_database(url)
    path = tmp_path / "rppam.config"
    path.write_text(json.dumps({"node": {"dataDir": str(tmp_path)}, "database": {"url": url}}))
    path.chmod(0o600)
    judged = rppam("verify", "--config", path)
    assert judged.returncode == 2
    assert "no signing key yet" in judged.stderr


async def test_an_event_that_waits_is_listed_without_a_place(config: Path, database: Database) -> None:
    await database.write(lambda connection: record(connection, "user.delete", Entity("user", "id-9", "nine")))
    (event,) = json.loads(rppam("list", "--config", config, "--json", "--action", "user.delete").stdout)["items"]
    assert event["index"] is None
    assert rppam("verify", "--config", config).returncode == 0


async def test_cosignatures_are_verified_with_the_ledger_and_with_a_bundle(
    config: Path, database: Database, watched: Node, tmp_path: Path
) -> None:
    await watched.watch.check()
    expected = {"whole": True, "events": 23, "cosigned": {"rppam/test/node1": 23}}
    assert json.loads(rppam("verify", "--config", config, "--json").stdout) == expected
    bundle = tmp_path / "ledger.jsonl"
    assert rppam("export", "--config", config, "--bundle", bundle).returncode == 0
    assert "The first 23 are cosigned by rppam/test/node1." in rppam("verify", bundle).stdout
    (row,) = await watched.cosigners.all()
    forged = bundle.read_text().replace(row.line.split()[2], row.line.split()[2][:-8] + "AAAAAAA=")
    bundle.write_text(forged)
    judged = rppam("verify", bundle, "--json")
    assert (judged.returncode, json.loads(judged.stdout)["place"]) == (1, "the cosignature of rppam/test/node1")
