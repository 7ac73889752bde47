"""What a witness's host gives to whoever takes it: the link key and its Redis password, against real nodes."""

import asyncio
import json
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rppam.access.sessions.model import UserFacts, fact_bytes
from rppam.cache.model import LIFE_MS_MAX, CacheKey, Copy, Kind
from rppam.cache.sealing import Sealer
from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.membership import Membership, QuorumPolicy, Version, VoterSet
from rppam.cluster.consensus.messages import Candidacy, VoteRequest, VoteRequestKind
from rppam.cluster.link.codec import encode
from rppam.cluster.store.heartbeat_text import heartbeat_to_text
from rppam.cluster.store.vote_file import FILE_NAME, FilePromises
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.instant import Instant, WallMs
from rppam.kernel.secret import Secret
from tests.access.accounts.test_on_nodes import PASSWORD as ANNAS, USERS, login, post
from tests.cluster.link.links import stranger
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab
from tests.support.raw_redis import Raw
from tests.support.redis_servers import Server

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow]

REVISION = 10**14
STRANGER = "stranger"


def key_in(lab: Lab, name: str) -> Secret:
    return Secret((lab.folder / name).read_text().strip())


def forge_role(lab: Lab, redis: Server, key: Secret, user: str) -> None:
    """A sealed copy that says that ``user`` is an administrator, put where the nodes look for it."""
    prefix = f"{lab.prefix}cache:"
    sealer = Sealer(key, lab.cluster, prefix)
    place = sealer.place(CacheKey(Kind.USER, user))
    facts = UserFacts(user, "anna", frozenset({"pam_admin"}), disabled=False, auth_epoch=1, has_mfa=False)
    sealed = sealer.seal(place, Copy(REVISION, fact_bytes(facts)), LIFE_MS_MAX, WallMs(int(time.time() * 1000)))
    with Raw(redis) as raw:
        raw("SET", place.name, sealed, "PX", 86_400_000)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        pytest.param("cluster.key", 403, id="link-key"),
        pytest.param("sealing.key", 200, id="sealing-key, which shows that the forgery is one"),
    ],
)
def test_who_has_the_link_key_and_writes_to_redis_makes_nobody_an_administrator(
    make_lab: MakeLab, redis: Server, name: str, status: int
) -> None:
    lab = make_lab(nodes=2, times=CALM)
    lab.start()
    first, second = lab.nodes
    made = post(first, USERS, {"username": "Anna", "password": ANNAS, "roles": ["pam_user"]}, lab.token)
    assert made.status == 201, made
    token = login(second)["accessToken"]
    assert {node.ask(USERS, token=token).status for node in lab.nodes} == {403}
    deadline = time.monotonic() + 20
    seen: set[int] = set()
    while time.monotonic() < deadline and status not in seen - {403}:
        forge_role(lab, redis, key_in(lab, name), made.body["id"])
        seen |= {node.ask(USERS, token=token).status for node in lab.nodes}
        if status == 403 and time.monotonic() > deadline - 15:
            break
    assert (200 in seen) is (status == 200), seen


# ---- the list of members --------------------------------------------------------------------------------------------


def kept_by(node: LabNode) -> Membership:
    kept = FilePromises(Path(node.config["node"]["dataDir"]) / FILE_NAME).load()
    assert kept is not None
    assert kept.membership is not None
    return kept.membership


async def forge_vote_request(lab: Lab, node: LabNode, name: str, membership: Membership) -> bytes | None:
    """One vote request of somebody who calls himself ``name`` and has the link key; what came back."""
    door: Any = SimpleNamespace(link=SimpleNamespace(port=node.config["cluster"]["memberPort"]))
    key = key_in(lab, "cluster.key")
    async with stranger(door, name, key=key, cluster_id=lab.cluster) as guest:
        await guest.hear()
        candidacy = Candidacy(name, "41aa0b2c3d4e5f60", membership.version.epoch)
        guest.say(encode(VoteRequest(VoteRequestKind.RENEW, 1, candidacy, membership, Instant(1))))
        return await guest.hear(within_s=3)


@pytest.mark.parametrize("name", [STRANGER, "node1", "node3"])
def test_one_forged_ballot_replaces_no_list_of_members(make_lab: MakeLab, name: str) -> None:
    lab = make_lab(nodes=3, times=CALM, policy="majority")
    lab.start()
    lab.wait_until_healthy()
    eventually(lambda: len({kept_by(node) for node in lab.nodes}) == 1, within_s=20, what="all have heard of it",
               say=lab.logs)  # fmt: skip
    before = {node.name: kept_by(node) for node in lab.nodes}
    epoch = lab.health()["epoch"]
    true = before["node2"]
    forged = Membership(true.lineage, Version(10**14, 1), VoterSet.of((STRANGER,), QuorumPolicy.MAJORITY))
    assert asyncio.run(forge_vote_request(lab, lab.nodes[1], name, forged)) is None, "it is hung up on"
    assert asyncio.run(forge_vote_request(lab, lab.nodes[1], "witness9", forged)) is None
    time.sleep(1)
    assert {node.name: kept_by(node) for node in lab.nodes} == before
    assert lab.health()["epoch"] == epoch
    assert "does not show that it holds the sealing key" in json.dumps(lab.health(lab.nodes[1]))


def takes_over(lab: Lab, node: LabNode, forged: Membership) -> bool:
    """Whether ``node`` believed somebody who calls himself node3, or another node did and told it."""
    asyncio.run(forge_vote_request(lab, node, "node3", forged))
    return kept_by(node) == forged


def test_forget_by_force_undoes_a_list_that_was_forged(make_lab: MakeLab) -> None:
    """In an installation of before, the key of a witness is all that a node shows: whoever has it can be node3."""
    lab = make_lab(nodes=3, times=CALM, policy="majority")
    (lab.folder / "sealing.key").unlink()
    lab.start()
    lab.wait_until_healthy()
    third = lab.nodes[2]
    third.kill()
    true = kept_by(lab.nodes[0])
    made_up = tuple(f"x{number}" for number in range(1, 6))
    forged = Membership(true.lineage, Version(10**14, 1), VoterSet.of(made_up, QuorumPolicy.MAJORITY))
    for node in lab.nodes[:2]:
        taken = partial(takes_over, lab, node, forged)
        eventually(taken, within_s=40, what="the forged list is taken over", say=lab.logs)
    eventually(lambda: not lab.leaders(), within_s=40, what="nobody leads any more", say=lab.logs)
    third.start()
    body = {"members": list(made_up), "force": True, "back": ["node1", "node2", "node3"]}
    for node in lab.nodes[:2]:
        answer = node.ask("/api/v1/admin/cluster/forget", token=lab.token, method="POST", send=body)
        assert answer.status == 200, (answer, lab.logs())
    lab.wait_until_healthy(within_s=120)
    for node in lab.nodes:
        assert kept_by(node).body == true.body, lab.logs()
        assert kept_by(node).version > forged.version


# ---- orders ---------------------------------------------------------------------------------------------------------


def forge_pause(lab: Lab, redis: Server, seals: Secret, beat: int) -> None:
    """A heartbeat of a node that says that failover is paused, with right codes as far as the keys go."""
    cluster = key_in(lab, "cluster.key")
    now_ms = int(time.time() * 1000)
    forged = Heartbeat("node9", "41aa0b2c3d4e5f60", beat, Role.STANDBY, 1, "1", "host", "", now_ms, 0, 0)
    forged = forged._replace(member_address="127.0.0.1:9", store_ms=now_ms)
    forged = forged._replace(pause_stamp=now_ms, paused=True, paused_by="mallory")
    text = heartbeat_to_text(forged, StoreMac(lab.cluster, cluster), StoreMac(lab.cluster, seals))
    with Raw(redis) as raw:
        raw("SADD", f"{lab.prefix}members", "node9")
        raw("SET", f"{lab.prefix}heartbeat:node9", text, "PX", 30_000)


@pytest.mark.parametrize(
    ("name", "is_paused"),
    [
        pytest.param("cluster.key", False, id="link-key"),
        pytest.param("sealing.key", True, id="sealing-key, which shows that the forgery is one"),
    ],
)
def test_who_has_the_link_key_and_writes_to_redis_pauses_no_failover(
    make_lab: MakeLab, redis: Server, name: str, *, is_paused: bool
) -> None:
    lab = make_lab(nodes=2, times=CALM)
    lab.start()
    lab.wait_until_healthy()
    beats = iter(range(1, 10_000))

    def seen() -> bool:
        forge_pause(lab, redis, key_in(lab, name), next(beats))
        told = [json.dumps(lab.health(node)) for node in lab.nodes]
        if is_paused:
            return all("automatic failover is paused by mallory" in one for one in told)
        return all("under node9 say of maintenance and of a pause of failover is not heeded" in one for one in told)

    eventually(seen, within_s=30, what="the heartbeat is read", say=lab.logs)
    assert ("mallory" in lab.logs()) is is_paused


def test_an_order_that_one_node_was_given_reaches_the_others_by_heartbeats(make_lab: MakeLab) -> None:
    lab = make_lab(nodes=3, times=CALM)
    lab.start()
    lab.wait_until_healthy()
    for is_on in (True, False):
        path = "/api/v1/admin/cluster/pause"
        answer = lab.nodes[0].ask(path, token=lab.token, method="PUT", send={"paused": is_on})
        assert answer.status == 200, answer
        agree = partial(all_are_paused, lab, is_on=is_on)
        eventually(agree, within_s=20, what="all know of it", say=lab.logs)


def all_are_paused(lab: Lab, *, is_on: bool) -> bool:
    return all((lab.health(node).get("paused") is True) is is_on for node in lab.nodes)
