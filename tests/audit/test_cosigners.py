"""Witnesses cosign over the member link, and notice a ledger that was put back, though they have no database."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rppam.audit.cosigners import WitnessCosignatures
from rppam.cluster.driver.node_tasks import findings_of, told_of
from rppam.cluster.health.model import is_grave
from rppam.cluster.link.checkpoints import answering
from rppam.cluster.link.codec import CheckpointOffer
from rppam.db.database import Database
from rppam.kernel.finding import Severity
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.ledger.checkpoint import cosigned_at, verifier_of
from rppam.ledger.cosigner import Cosigner
from rppam.ledger.errors import LedgerRolledBack
from rppam.ledger.store import Query, SqlLedger
from tests.audit.test_watch import Node, keys_of
from tests.cluster.link import links

pytestmark = [pytest.mark.integration, pytest.mark.server]

EPOCH = 7


class Cluster:
    """A node that leads and a witness, over a real member link."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.folder = node, folder
        self.ours, self.witness = links.make_node("node1"), links.make_node("witness1")
        self.asks = self.leader()

    def leader(self) -> WitnessCosignatures:
        ledger = SqlLedger(self.node.database)
        return WitnessCosignatures(
            ledger, self.node.cosigners, self.ours.link, keys_of(self.node.database), SystemEntropy()
        )

    async def said(self) -> str:
        """What health says of those who do not cosign."""
        try:
            return await self.node.cosigners.refusals()
        except LedgerRolledBack as error:
            return told_of(error)

    def cosigns(self) -> Cosigner:
        """The witness, as after a start."""
        cosigner = Cosigner(self.folder, "rppam/test/witness1", SystemClock())
        self.witness.link.cosign(answering(cosigner))
        return cosigner


@asynccontextmanager
async def connected(database: Database, folder: Path) -> AsyncIterator[Cluster]:
    """Both of them, linked, with their data in ``folder``."""
    for name in ("node1", "witness1"):
        (folder / name).mkdir()
    made = Cluster(Node(database, folder / "node1"), folder / "witness1")
    async with links.running(made.ours, made.witness):
        await links.connected(made.ours, made.witness)
        yield made


@pytest.fixture
async def cluster(database: Database, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with connected(database, tmp_path) as made:
        assert made.ours.link.witnesses == ("witness1",)
        yield made


async def test_a_witness_cosigns_each_checkpoint_that_follows(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.asks.work(EPOCH)
    assert await cluster.node.cosigners.all() == []
    for count in (3, 300):
        await cluster.node.act(count)
        await cluster.asks.work(EPOCH)
        newest = await SqlLedger(cluster.node.database).newest()
        (row,) = await cluster.node.cosigners.all()
        assert newest is not None
        assert (row.name, row.size, row.why) == ("rppam/test/witness1", newest.size, "")
        assert cosigned_at(newest.note + row.line, verifier_of(row.key)) > 0
    assert len(await SqlLedger(cluster.node.database).events(Query("ledger.cosigner"))) == 1


async def test_a_new_leader_learns_where_the_witness_stands(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    await cluster.node.act(5)
    await cluster.leader().work(EPOCH + 1)
    (row,) = await cluster.node.cosigners.all()
    assert (row.size, row.why) == (12, "")


async def test_a_ledger_that_was_put_back_is_not_cosigned_and_every_node_says_so(cluster: Cluster) -> None:
    cluster.cosigns()
    await cluster.node.act(300)
    await cluster.asks.work(EPOCH)
    await cluster.node.act(5)
    await cluster.asks.work(EPOCH)
    back = text("DELETE FROM audit_checkpoints WHERE size > 303")
    await cluster.node.database.write(lambda connection: connection.execute(back).close())
    cluster.cosigns()  # its file, not its memory, is what it goes by
    await cluster.leader().work(EPOCH)
    # The node has not looked meanwhile, as one that was started anew from a copy: the witness alone doubts.
    said = "the ledger is not the one that was seen by witness1 .it has 303 events, of which 309 were seen signed"
    with pytest.raises(LedgerRolledBack, match=said) as caught:
        await cluster.node.watch.check()
    [told] = findings_of([caught.value])
    assert (told.code, told.severity, "of each witness that is named" in told.advice) == (
        "RD-631",
        Severity.ERROR,
        True,
    )
    assert is_grave(told), "no cluster is healthy with it"
    await cluster.asks.work(EPOCH)
    (cluster.folder / "ledger.json").unlink()
    await cluster.asks.work(EPOCH)
    said = await cluster.said()
    assert "RPPAM-8002" not in said, "though nothing was signed since it refused"
    assert "began anew: witness1 (it had cosigned 309 events)" in said


async def test_a_witness_that_is_none_any_more_warns_nobody(cluster: Cluster) -> None:
    cosigner = cluster.cosigns()
    await cluster.node.act(3)
    cosigner.file.path.write_text("{")
    await cluster.asks.work(EPOCH)
    said = await cluster.said()
    assert said.startswith("RPPAM-8005: no cosignature comes from witness1 ("), "which is no doubt of the ledger"
    assert "cannot be read" in said
    cluster.ours.link.expect(["node1", "witness1"], ["witness1"])
    await cluster.asks.work(EPOCH)
    assert await cluster.said() == ""


async def test_a_witness_of_the_release_before_costs_nothing_but_its_cosignature(cluster: Cluster) -> None:
    await cluster.node.act(3)
    assert cluster.witness.link.offer_checkpoint is not None
    offer = CheckpointOffer("0" * 16, "", "", 0, ())
    assert await cluster.ours.link.offer_checkpoint("nobody", offer) is None


@pytest.mark.parametrize("lie", [lambda one: one.replace("witness1", "witness2"), lambda one: one[:-6] + "AAAAA\n"])
async def test_a_cosignature_of_another_or_a_wrong_one_does_not_count(
    cluster: Cluster, lie: Callable[[str], str]
) -> None:
    cosigner = Cosigner(cluster.folder, "rppam/test/witness1", SystemClock())
    honest = answering(cosigner)

    async def lying(offer: CheckpointOffer) -> Any:
        import msgspec

        answer = await honest(offer)
        return msgspec.structs.replace(answer, line=lie(answer.line))

    cluster.witness.link.cosign(lying)
    await cluster.node.act(3)
    await cluster.asks.work(EPOCH)
    assert await cluster.node.cosigners.all() == []
