"""Whoever does not belong, or whose clock runs wrong, beside real nodes: named in log and health; no leader changes."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rppam.cluster.consensus.messages import NO_CANDIDACY, Candidacy, Freeing, PersistedVote
from rppam.cluster.consensus.record import Record, RecordState, commitment, parse_record
from rppam.cluster.link.codec import PROTOCOL, encode
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.kernel.secret import Secret
from tests.cluster.link.links import Stranger, stranger
from tests.faults.lab.wallclock import build
from tests.support.lab import CALM, HOST, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.redis_servers import Server, missing
from tests.support.watching import Eyes

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

NO_KEY = "no holder of this cluster's key wrote them"
Enter = Callable[..., AbstractAsyncContextManager[Stranger]]


def watched(lab: Lab) -> Eyes:
    return Eyes({node.name: node.port for node in lab.nodes}, every_ms=20)


def kept_by(node: LabNode) -> PersistedVote:
    return FilePromises(Path(node.config["node"]["dataDir"]) / FILE_NAME).load() or PersistedVote(NO_CANDIDACY, None)


def visitor_of(node: LabNode, lab: Lab) -> Enter:
    """Makes visitors of a real node's member port; they hold the cluster's keys unless told otherwise."""
    door = SimpleNamespace(link=SimpleNamespace(port=node.config["cluster"]["memberPort"]))
    key, sealing = (Secret((lab.folder / name).read_text().strip()) for name in ("cluster.key", "sealing.key"))

    def enter(name: str, **more: Any) -> AbstractAsyncContextManager[Stranger]:
        given = {"key": key, "sealing": (sealing,), "cluster_id": lab.cluster} | more
        return stranger(door, name, **given)  # type: ignore[arg-type]

    return enter


async def misbehave(enter: Enter, candidacy: Candidacy) -> None:
    """Everything that nobody may do at a member's port. ``candidacy`` is the leader's."""
    async with enter("node3", cluster_id="another") as guest:
        await guest.is_hung_up_on()
    async with enter("node3", greeting=b"rppam-member %d link of an older kind" % (PROTOCOL - 1)) as guest:
        await guest.is_hung_up_on()
    async with enter("node3") as guest:
        await guest.hear()
        guest.say(encode(Freeing(candidacy)))
        await guest.is_hung_up_on()
    async with enter("node3") as guest:
        await guest.hear()
        frame = guest.frames.pack(encode(Freeing(candidacy._replace(candidate="node3"))))
        guest.raw(frame + frame)
        await guest.is_hung_up_on()
    async with enter("node3") as guest:
        await guest.hear()
        guest.raw((1 << 30).to_bytes(4, "big"))
        await guest.is_hung_up_on()
    async with enter("node3") as guest:
        await guest.hear()
        guest.say(b"nonsense")
        await guest.is_hung_up_on()
    async with enter(candidacy.candidate) as guest:
        await guest.is_hung_up_on()


SAID = {
    "cluster-id": "has the key of this cluster, but cluster.clusterId 'another'",
    "version": "of the member protocol, an older one",
    "forged": "it spoke in somebody else's name",
    "replayed": "a message came twice or out of order",
    "oversized": "a message is longer than any member sends",
    "malformed": "it sent something that is no message between members",
    "twin": "two nodes are named",
}
"""What is told of each, in the log and in health."""


def test_whoever_does_not_belong_is_named_and_counted_in_health_and_changes_no_leader(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=2, times=CALM)
    lab.start()
    leader = lab.wait_for_leader()
    standby = next(node for node in lab.nodes if node is not leader)
    # Redis' vote is enough to lead: the standby's promise may come a moment later.
    eventually(
        lambda: kept_by(standby).candidacy.candidate == leader.name, within_s=10, what="its promise", say=lab.logs
    )
    candidacy = kept_by(standby).candidacy
    with watched(lab) as eyes:
        asyncio.run(misbehave(visitor_of(standby, lab), candidacy))
        eventually(lambda: lab.health(standby)["membersRefused"].keys() >= SAID.keys(), within_s=10, what="counted")
        told = lab.health(standby)
        for reason, words in SAID.items():
            assert told["membersRefused"][reason] >= 1, reason
            assert any(words in warning for warning in told["warnings"]), (reason, told["warnings"])
            assert words in standby.log(), reason
        lab.wait_until_healthy()
    assert eyes.leaderships() == {candidacy.epoch: leader.name}
    eyes.check()


def test_where_redis_has_no_vote_a_forged_record_or_release_changes_no_leader_and_is_named(
    make_lab: MakeLab, redis: Server
) -> None:
    lab = make_lab(nodes=3, times="lan", policy="majority")
    lab.start()
    leader = lab.wait_for_leader()
    lab.wait_until_healthy()
    epoch = lab.health(leader)["epoch"]
    with watched(lab) as eyes:
        for ahead, state in enumerate(("held", "released", "held"), 1):
            forged = Record(RecordState(state), "intruder", "5" * 16, epoch + ahead * 1_000_000, 1, f"{ahead:016x}")
            redis.ask("SET", f"{lab.prefix}leader", forged.encode())
            redis.ask("PUBLISH", f"{lab.prefix}releases", forged.encode())
            time.sleep(3 * lab.lease_ms / 1000)
            assert f" held {leader.name} " in (redis.ask("GET", f"{lab.prefix}leader") or b"").decode(), lab.logs()
        told = lab.health(leader)
    assert eyes.leaderships() == {epoch: leader.name}
    eyes.check()
    assert any("It names intruder at epoch" in warning for warning in told["warnings"]), told["warnings"]
    assert "a leadership record that no leader wrote" in leader.log()
    leader.kill()
    eventually(lambda: any(node.leads() for node in lab.nodes if node is not leader), within_s=10, what="a successor")


def members(node: LabNode) -> tuple[str, ...]:
    membership = kept_by(node).membership
    return () if membership is None else membership.members


def test_a_node_with_another_cluster_key_is_kept_out_told_and_holds_up_nobody(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=2, times=CALM)
    odd = lab.make_node("node3")
    key = odd.folder / "cluster.key"
    key.write_text("cd" * 32 + "\n")
    key.chmod(0o600)
    odd.config["auth"]["clusterKeyPath"] = str(key)
    lab.start()
    leader = lab.wait_for_leader()
    epoch = lab.health(leader)["epoch"]
    with watched(lab) as eyes:
        odd.start()
        try:
            eventually(
                lambda: any(NO_KEY in one for one in lab.health(leader)["warnings"]),
                within_s=30,
                what="health names it",
                say=lab.logs,
            )
            eventually(
                lambda: any(NO_KEY in one and leader.name in one for one in lab.health(odd)["warnings"]),
                within_s=30,
                what="its own health says why it is not taken in",
                say=odd.log,
            )
            assert NO_KEY in odd.log()
            assert NO_KEY in leader.log()
            assert not odd.leads()
            lab.nodes.append(welcome := lab.make_node("node4"))
            welcome.start()
            everybody = ("node1", "node2", "node4")
            eventually(
                lambda: {members(node) for node in lab.nodes} == {everybody},
                within_s=90,
                what="the newcomer with the right key is a member, and the other is not",
                say=lab.logs,
            )
        finally:
            odd.kill()
    assert eyes.leaderships() == {epoch: leader.name}


def test_a_clock_that_runs_ten_percent_fast_is_found_within_a_minute_and_its_promises_do_not_count(
    make_lab: MakeLab, tmp_path: Path
) -> None:
    library = build()
    if library is None:
        missing("no C compiler here: apt-get install gcc")
    lab = make_lab(nodes=3, times=CALM)
    *right, fast = lab.nodes
    for node in right:
        node.start()
    leader = lab.wait_for_leader()
    epoch = lab.health(leader)["epoch"]
    with watched(lab) as eyes:
        fast.start(LD_PRELOAD=str(library), CLOCK_SHIM_FAST="10")

        def found() -> dict[str, Any]:
            line = next(vote for vote in lab.health(leader)["votes"] if vote["voter"] == fast.name)
            return line if "its clock runs" in line["reason"] else {}

        line = eventually(found, within_s=60, what="the leader has found it", say=lab.logs)
        assert "% faster than this host's" in line["reason"]
        assert not line["counted"]
        words = f"the clock of {fast.name} runs"
        assert any(one.startswith(words) for one in lab.health(leader)["warnings"])
        assert words in leader.log()
    assert eyes.leaderships() == {epoch: leader.name}
    eyes.check()


def apart(lab: Lab) -> None:
    """The members' link never comes up: each has its own vote, and Redis' makes the leader."""
    for node in lab.nodes:
        node.config["cluster"]["memberAddress"] = f"{HOST}:9"


@pytest.mark.parametrize("where", ["record alone", "majority of two", "last-man-standing of two"])
def test_no_forged_release_makes_a_second_leader_where_redis_has_a_vote(
    make_lab: MakeLab, redis: Server, where: str
) -> None:
    if where == "record alone":
        lab = make_lab(nodes=3, times=CALM, votes=False, prefix="forged-alone:")
    else:
        policy = where.split(maxsplit=1)[0]
        lab = make_lab(nodes=2, times=CALM, policy=policy, prefix=f"forged-{policy}:")
        apart(lab)
    for node in lab.nodes:
        node.start()
    lab.wait_for_leader(within_s=60)
    key = f"{lab.prefix}leader"

    def stands() -> Record | None:
        return parse_record((redis.ask("GET", key) or b"").decode())

    def write(record: Record) -> None:
        redis.ask("SET", key, record.encode())

    with Eyes({node.name: node.port for node in lab.nodes}, every_ms=1) as eyes:
        for number in range(2):
            eventually(lab.leaders, within_s=20, what="a leader", say=lab.logs)
            time.sleep(2 * lab.lease_ms / 1000)  # long enough that whoever hears of a release may believe it
            record = eventually(
                lambda: found if (found := stands()) and found.state is RecordState.HELD else None,
                within_s=10,
                what="a held record",
            )
            write(record._replace(state=RecordState.RELEASED, seq=record.seq + 1, nonce=f"{number:032x}"))
            time.sleep(2 * lab.lease_ms / 1000)
            secret = f"{number + 1:032x}"
            epoch = record.epoch + 600_000 * (number + 1)
            held = Record(RecordState.HELD, "intruder", "5" * 16, epoch, 1, commitment(secret))
            write(held)
            time.sleep(0.05)
            write(held._replace(state=RecordState.RELEASED, seq=2, nonce=secret))
    eyes.check()
