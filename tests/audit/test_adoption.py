"""A witness adopts a restored ledger by word of its own host, which the leader records; one that forgot is named."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from rppam.ledger.cosigner import ADOPT_WITHIN_MS, Seen, adopt_next
from rppam.ledger.store import Query, SqlLedger
from tests.audit.test_command import rppam
from tests.audit.test_cosigners import EPOCH, Cluster, connected
from tests.audit.test_leader_doubts import backup, restore
from tests.audit.test_watch import Node, run

pytestmark = [pytest.mark.integration, pytest.mark.server]

WHY = "restored the backup of tonight"


@pytest.fixture
async def cluster(database: Any, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with connected(database, tmp_path) as made:
        yield made


def config_of(cluster: Cluster) -> Path:
    """The config of the witness's host. It has no database."""
    path, key = cluster.folder / "rppam-witness.config", cluster.folder / "cluster.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    facts = {
        "node": {"nodeName": "witness1", "dataDir": str(cluster.folder)},
        "redis": {"enabled": True, "connectionString": "redis://127.0.0.1:1"},
        "cluster": {"enabled": True, "clusterId": "test"},
        "auth": {"clusterKeyPath": str(key)},
    }
    path.write_text(json.dumps(facts))
    path.chmod(0o600)
    return path


def seen_by(cluster: Cluster) -> Seen:
    seen = cluster.cosigns().file.read()
    assert seen is not None
    return seen


async def told(cluster: Cluster, action: str) -> list[dict[str, Any]]:
    events = await SqlLedger(cluster.node.database).events(Query(action))
    return [one.document() for one in events if one.body["object"]["id"].endswith("witness1")]


async def put_back(cluster: Cluster) -> int:
    """A ledger that is older than what the witness has seen; how much that is."""
    cluster.cosigns()
    await cluster.node.act(5)
    await cluster.asks.work(EPOCH)
    saved = await backup(cluster.node.database)
    await cluster.node.act(5)
    await cluster.asks.work(EPOCH)
    size = seen_by(cluster).checkpoint.size
    await restore(cluster.node.database, saved)
    await cluster.asks.work(EPOCH)
    assert f"of which {size} were seen signed" in await cluster.said()
    return size


async def test_the_command_on_its_host_has_it_adopt_the_ledger_and_the_leader_records_that_once(
    cluster: Cluster,
) -> None:
    before = await put_back(cluster)
    taken = await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", WHY, "--json")
    assert json.loads(taken.stdout) == {"seen": before, "node": "witness1"}, taken.stderr
    assert not list(cluster.folder.glob("*.db")), "it asks no database, and makes none"
    life = seen_by(cluster).life
    await cluster.asks.work(EPOCH)
    newest = await SqlLedger(cluster.node.database).newest()
    assert newest is not None
    assert seen_by(cluster).checkpoint.size == newest.size < before
    assert await cluster.said() == ""
    await cluster.leader().work(EPOCH)
    (event,) = await told(cluster, "ledger.adopt")
    assert (event["reason"], event["actor"]["kind"]) == (WHY, "host")
    assert event["actor"]["name"]
    facts = event["details"]
    assert (facts["seen"], facts["adopted"], facts["node"]) == (before, newest.size, "witness1")
    assert facts["life"] == seen_by(cluster).life != life
    assert await told(cluster, "ledger.reset") == [], "that is another thing"


async def test_what_was_adopted_counts_once_and_the_next_fork_is_refused_again(cluster: Cluster) -> None:
    await put_back(cluster)
    assert (await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", WHY)).returncode == 0
    await cluster.asks.work(EPOCH)
    seen = seen_by(cluster)
    assert seen.adoption is not None
    assert (seen.adoption.reason, seen.adoption.until) == (WHY, 0)
    cluster.cosigns().file.write(seen._replace(checkpoint=seen.checkpoint._replace(size=99)))
    await cluster.leader().work(EPOCH)
    assert "of which 99 were seen signed" in await cluster.said()


async def test_an_order_that_no_leader_followed_within_the_hour_is_void(cluster: Cluster) -> None:
    before = await put_back(cluster)
    assert (await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", WHY)).returncode == 0
    seen = seen_by(cluster)
    assert seen.adoption is not None
    late = seen.adoption._replace(until=seen.adoption.until - ADOPT_WITHIN_MS - 1)
    cluster.cosigns().file.write(seen._replace(adoption=late))
    await cluster.leader().work(EPOCH)
    assert f"of which {before} were seen signed" in await cluster.said()
    assert await told(cluster, "ledger.adopt") == []


async def test_a_void_order_is_forgotten_with_the_next_checkpoint_that_follows(cluster: Cluster) -> None:
    cosigner = cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    life = seen_by(cluster).life
    adopt_next(cosigner.file, WHY, "root", 0)
    assert seen_by(cluster).adoption is not None
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    seen = seen_by(cluster)
    assert (seen.life, seen.adoption) == (life, None)
    assert await told(cluster, "ledger.adopt") == []


async def test_a_ledger_that_another_key_signs_is_not_adopted(
    cluster: Cluster, url: str, open_database: Callable[..., Any], tmp_path: Path
) -> None:
    before = await put_back(cluster)
    await restore(cluster.node.database, {})
    assert (await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", WHY)).returncode == 0
    (tmp_path / "stranger").mkdir()
    await Node(await open_database(url), tmp_path / "stranger").act(3)
    await cluster.leader().work(EPOCH)
    said = await cluster.said()
    assert "the checkpoint to adopt is not signed by the key that was seen first" in said
    assert seen_by(cluster).checkpoint.size == before


async def test_a_witness_that_has_seen_nothing_has_nothing_to_adopt(cluster: Cluster) -> None:
    refused = await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", WHY)
    assert refused.returncode != 0
    assert "believes the first one that it is shown" in refused.stderr
    empty = await asyncio.to_thread(rppam, "adopt", "--config", config_of(cluster), "--reason", " ")
    assert "expected why, found nothing" in empty.stderr


async def test_a_witness_that_begins_anew_is_named_for_a_day_and_a_new_one_is_not(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    had = seen_by(cluster).checkpoint.size
    assert await cluster.node.watch.check() == "", "it is new"
    (cluster.folder / "ledger.json").unlink()
    cluster.cosigns()
    await cluster.node.act(3)
    for leader in (cluster.asks, cluster.asks, cluster.leader()):
        await leader.work(EPOCH)
    (event,) = await told(cluster, "ledger.reset")
    assert (event["details"]["seen"], event["details"]["begins"]) == (had, seen_by(cluster).checkpoint.size)
    said = await cluster.node.watch.check()
    assert "had lost what they had seen of the ledger, and began anew" in said
    assert f"witness1 (it had cosigned {had} events)" in said
    await run(cluster.node.database, "UPDATE audit_events SET time = time - 90000000 WHERE action = 'ledger.reset'")
    assert await cluster.said() == ""


async def test_a_file_of_the_release_before_gets_its_life_and_accuses_nobody(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    path = cluster.folder / "ledger.json"
    facts = json.loads(path.read_text())
    old = {name: facts[name] for name in ("origin", "key", "size", "root")}
    path.write_text(json.dumps(old))
    strip = "UPDATE audit_events SET body = replace(body, '\"life\":', '\"lief\":') WHERE action = 'ledger.cosigner'"
    await run(cluster.node.database, strip)
    cluster.cosigns()
    assert seen_by(cluster).life == ""
    await cluster.leader().work(EPOCH)
    assert seen_by(cluster).life != ""
    assert await told(cluster, "ledger.reset") == []
