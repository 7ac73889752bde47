"""Every node takes an order: it hands the order on to the one that it is for, once, and nobody's token with it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rppam.cluster.admin import forwarding as handed_on
from rppam.cluster.admin.errors import AdministrationError, NobodyToFollow, OtherNodeError
from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.link import orders
from rppam.http.bounds import ApiLimits
from rppam.http.errors import NotLeaderError
from rppam.kernel.errors import coded
from tests.support.linked import LinkedNode, eventually, linked
from tests.support.served import Served, member

pytestmark = pytest.mark.integration

NODES = "/api/v1/admin/nodes"
SWITCHOVER = "/api/v1/admin/cluster/switchover"
FORGET = "/api/v1/admin/cluster/forget"
PAUSE = "/api/v1/admin/cluster/pause"
AWAY = {"maintenance": True}
Pair = tuple[LinkedNode, LinkedNode]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """node1 leads, node2 is a standby; their member links are connected."""
    async with linked(tmp_path) as made:
        yield made


async def away(served: Served, node: str, **headers: str) -> httpx.Response:
    return await served.http.put(f"{NODES}/{node}/maintenance", json=AWAY, headers=served.bearer() | headers)


def json_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


async def test_maintenance_of_another_node_is_ordered_at_any(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    one, two = (node.served for node in pair)
    with caplog.at_level("INFO", logger="rppam.audit"):
        answer = await away(one, "node2", **{"X-Request-Id": "order-78"})
    assert (answer.status_code, answer.json()) == (200, {"said": "set_maintenance is begun", "node": "node2"})
    assert (one.orders.asked, two.orders.asked) == ([], [("set_maintenance", True, "admin")])
    assert "admin orders set_maintenance through the node node1 (request order-78)" in caplog.text


async def test_a_token_goes_nowhere_whatever_redis_says_of_addresses(pair: Pair) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as thief:
        url = f"http://127.0.0.1:{thief.sockets[0].getsockname()[1]}"
        one, two = (node.served for node in pair)
        views = (
            member("node1", Role.LEADER, api_url=url, is_at_url=True),
            member("node2", Role.STANDBY, api_url=url, is_at_url=True),
        )
        for served in (one, two):
            served.node.set(members=views)
        assert (await away(one, "node2")).json()["node"] == "node2"
        two.orders.failure = NotLeaderError("node2", "node1", url)
        for path, body in ((SWITCHOVER, {}), (FORGET, {"members": ["node3"]})):
            answer = await two.http.post(path, json=body, headers=two.bearer())
            assert (answer.status_code, answer.json()["node"]) == (200, "node1")
        two.orders.failure = None
        assert (await one.http.put(PAUSE, json={"paused": True}, headers=one.bearer())).status_code == 200
        assert (await one.http.get(NODES, headers=one.bearer())).status_code == 200
    assert heard == []


async def test_a_switchover_sent_to_a_standby_reaches_the_leader(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    answer = await two.http.post(SWITCHOVER, json={"target": "node2"}, headers=two.bearer())
    assert (answer.status_code, answer.json()) == (200, {"said": "switch_over is begun", "node": "node1"})
    assert one.orders.asked == two.orders.asked == [("switch_over", "node2", "admin")]


async def test_a_standby_has_the_leader_forget_a_member_and_does_the_forced_kind_itself(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    order = {"members": ["node3"], "off": True}
    answer = await two.http.post(FORGET, json=order, headers=two.bearer())
    assert (answer.status_code, answer.json()) == (200, {"said": "forget is begun", "node": "node1"})
    assert one.orders.asked == [("forget", "node3", True, "admin")]
    two.orders.failure = None
    forced = await two.http.post(FORGET, json=order | {"force": True}, headers=two.bearer())
    assert (forced.status_code, forced.json()["node"]) == (200, "node2")
    assert len(one.orders.asked) == 1


SETTING = "/api/v1/settings/security/sessions"
NOTE = "/api/v1/admin/cluster/note"


async def test_a_setting_and_the_note_are_changed_at_a_standby_under_the_epoch_that_the_leader_lends(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = (node.served for node in pair)
    changed = await two.http.put(SETTING, json={"idleMinutes": 15}, headers=two.bearer())
    assert (changed.status_code, changed.json()["idleMinutes"]) == (200, 15)
    back = await two.http.post(f"{SETTING}/rollback", json={"revision": 0}, headers=two.bearer())
    assert back.status_code == 200, back.text
    past = (await two.http.get(f"{SETTING}/history", headers=two.bearer())).json()["revisions"]
    assert [(one["revision"], one["epoch"], one["node"], one["author"]) for one in past] == [
        (2, 7, "node1", "admin"),
        (1, 7, "node1", "admin"),
    ]
    noted = await two.http.put(NOTE, json={"text": "mind the step"}, headers=two.bearer())
    assert (noted.status_code, noted.json()["node"], noted.json()["epoch"]) == (200, "node1", 7)
    assert [asked[:2] for asked in one.orders.asked] == [
        ("fencing_token", f"PUT {SETTING}"),
        ("fencing_token", f"POST {SETTING}/rollback"),
        ("fencing_token", f"PUT {NOTE}"),
    ]
    wrong = await two.http.put(SETTING, json={"idleMinutes": -1}, headers=two.bearer())
    assert wrong.status_code == 400
    assert len(one.orders.asked) == 3, "what is wrong on every node is no reason to ask"


async def test_a_lent_epoch_that_is_overtaken_changes_nothing(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    assert (await two.http.put(SETTING, json={"idleMinutes": 15}, headers=two.bearer())).status_code == 200
    one.orders.lends = f"6 {'a' * 16}"
    late = await two.http.put(SETTING, json={"idleMinutes": 16}, headers=two.bearer())
    assert late.status_code == 409, late.text
    assert (await two.http.get(SETTING, headers=two.bearer())).json()["idleMinutes"] == 15


async def test_a_leader_that_lends_nothing_is_named_and_nothing_is_unknown(pair: Pair) -> None:
    """It is of the release before, leads no more, or is not reached."""
    one, two = pair
    for lends, failure in (("fencing_token is begun", None), ("", NotLeaderError("node1", None, None))):
        one.served.orders.lends, one.served.orders.failure = lends, failure
        answer = await two.served.http.put(SETTING, json={"idleMinutes": 15}, headers=two.served.bearer())
        assert (answer.status_code, json_of(answer)["code"]) == (421, "RPPAM-6020"), answer.text
    await one.link.stop()
    await eventually(lambda: not two.link.peers["node1"].is_connected)
    answer = await two.served.http.put(SETTING, json={"idleMinutes": 15}, headers=two.served.bearer())
    assert (answer.status_code, json_of(answer)["leaderUrl"]) == (421, one.served.url)


async def test_who_may_not_order_is_turned_away_by_the_asked_node(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    for roles in (("pam_user",), ("pam_auditor",), ("pam_security_admin",)):
        answer = await one.http.put(f"{NODES}/node2/maintenance", json=AWAY, headers=one.bearer(*roles))
        assert answer.status_code == 403, roles
    assert (await one.http.put(f"{NODES}/node2/maintenance", json=AWAY)).status_code == 401
    assert (await one.http.get(NODES, headers=one.bearer("pam_user"))).status_code == 403
    assert two.orders.asked == []


async def test_who_comes_with_the_console_s_cookie_is_handed_on_too(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    token = one.bearer()["Authorization"].removeprefix("Bearer ")
    headers = {"Cookie": f"rppam={token}", "Sec-Fetch-Site": "same-origin"}
    answer = await one.http.put(f"{NODES}/node2/maintenance", json=AWAY, headers=headers)
    assert answer.status_code == 200, answer.text
    assert two.orders.asked == [("set_maintenance", True, "admin")]


async def test_a_refusal_comes_back_in_the_other_node_s_words_and_under_one_id(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    two.orders.failure = NobodyToFollow("no other node could lead now, so node2 stays")
    answer = await away(one, "node2", **{"X-Request-Id": "order-77"})
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["detail"]) == (409, "RPPAM-5204", str(two.orders.failure))
    assert document["requestId"] == answer.headers["x-request-id"] == "order-77"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_refusal_of_the_other_node_is_the_answer(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    kinds = [kind for kind in coded(AdministrationError) if not issubclass(kind, OtherNodeError)]
    for kind in kinds:
        two.orders.failure = kind("why not")
        there = await two.http.put(f"{NODES}/node2/maintenance", json=AWAY, headers=two.bearer())
        answer = await away(one, "node2")
        assert answer.status_code == there.status_code == kind.row.status
        assert (json_of(answer)["code"], json_of(answer)["detail"]) == (kind.row.code, "why not")


async def test_an_order_is_handed_on_once_and_never_in_a_circle(pair: Pair) -> None:
    one, two = (node.served for node in pair)
    one.orders.failure = NotLeaderError("node1", "node2", two.url)
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    answer = await one.http.post(SWITCHOVER, json={}, headers=one.bearer())
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["leaderUrl"]) == (421, "RPPAM-6020", one.url)
    assert one.orders.asked == two.orders.asked == [("switch_over", None, "admin")]


async def test_a_node_that_the_link_does_not_reach_is_named_with_what_was_found(pair: Pair) -> None:
    one, two = pair
    await two.link.stop()
    await eventually(lambda: not one.link.peers["node2"].is_connected)
    answer = await away(one.served, "node2")
    document = json_of(answer)
    assert (answer.status_code, document["code"]) == (421, "RPPAM-5202")
    assert (document["node"], document["nodeUrl"]) == ("node2", two.served.url)
    assert "was not carried out" in document["detail"]
    nobody = await away(one.served, "node9")
    assert (nobody.status_code, json_of(nobody)["code"]) == (404, "RPPAM-5201")


async def test_without_a_link_the_answer_says_whom_to_ask(tmp_path: Path) -> None:
    alone = Served(tmp_path / "keys", ApiLimits())
    await alone.start()
    try:
        answer = await away(alone, "node2")
        document = json_of(answer)
        assert (answer.status_code, document["code"], document["nodeUrl"]) == (421, "RPPAM-5202", "http://node2:7101")
        assert "members do not vote here" in document["detail"]
    finally:
        await alone.stop()


async def test_a_node_that_says_nothing_is_not_waited_for_for_ever_and_nobody_knows(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (node.served for node in pair)
    monkeypatch.setattr(orders, "WAIT_S", 0.3)

    async def hang(on: bool, by: str) -> str:
        two.orders.asked.append(("set_maintenance", on, by))
        await asyncio.sleep(60)
        return ""

    monkeypatch.setattr(two.orders, "set_maintenance", hang)
    answer = await away(one, "node2")
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["node"]) == (504, "RPPAM-5214", "node2")
    assert "no answer within 0.3 s; whether it was carried out is not known" in document["detail"]
    assert len(two.orders.asked) == 1


async def test_an_order_that_takes_too_long_there_is_given_up_there(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (node.served for node in pair)
    monkeypatch.setattr(handed_on, "CARRY_OUT_S", 0.1)
    given_up = asyncio.Event()

    async def hang(on: bool, by: str) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            given_up.set()
        return f"{on} {by}"

    monkeypatch.setattr(two.orders, "set_maintenance", hang)
    answer = await away(one, "node2")
    assert (answer.status_code, json_of(answer)["code"]) == (503, "RPPAM-5211")
    assert given_up.is_set()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("gone", "gone"),
        ("{}", "{}"),
        ('{"error": "RPPAM-9999", "text": "a later release says no"}', "a later release says no"),
        ('{"error": ["RPPAM-5204"], "text": "no"}', "no"),
        ('{"said": 7}', '{"said": 7}'),
    ],
)
async def test_what_is_between_the_nodes_is_not_put_down_to_the_caller(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, said: str, found: str
) -> None:
    one, _ = pair

    async def order(*_: Any) -> str:
        return said

    monkeypatch.setattr(one.link, "order", order)
    answer = await away(one.served, "node2")
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["node"]) == (502, "RPPAM-5215", "node2")
    assert f"found: {found}" in document["detail"]


async def test_an_order_that_is_none_is_not_carried_out(pair: Pair) -> None:
    one, two = pair
    force = {"order": "force_forget", "arguments": {"members": ["node3"], "by": "eve"}, "request": "1"}
    for order in (force, {"order": "stop", "arguments": {"by": "eve"}, "request": "1"}, {}, {"order": 7}):
        answer = json.loads(await one.link.order("node2", json.dumps(order), None))
        assert "let both run one release" in answer["text"]
    deep = '{"order": ' + "[" * 4_000 + "}"
    assert json.loads(await one.link.order("node2", deep, None))["text"]
    assert two.served.orders.asked == []


async def test_a_pause_is_told_to_every_node_over_the_link_and_who_missed_it_is_named(pair: Pair) -> None:
    one, two = pair
    views = (*one.served.node.seen.members, member("node3", Role.STANDBY, api_url="http://node3:7101"))
    one.served.node.set(members=views)
    answer = await one.served.http.put(PAUSE, json={"paused": True}, headers=one.served.bearer())
    told = json_of(answer)
    assert (answer.status_code, told["said"], told["node"]) == (200, "pause is begun", "node1")
    by_name = {other["node"]: other for other in told["others"]}
    assert set(by_name) == {"node2", "node3"}, "a witness takes no orders"
    assert by_name["node2"] == {"node": "node2", "told": True, "said": "pause is begun", "code": None}
    assert (by_name["node3"]["told"], by_name["node3"]["code"]) == (False, "RPPAM-5202")
    assert one.served.orders.asked == two.served.orders.asked == [("pause", True, "admin")]


async def test_each_node_says_itself_how_it_is(pair: Pair) -> None:
    one, two = pair
    warnings = ("the vault stays sealed here: node1 has its key, and 2 members have to agree", "x" * 5_000)
    two.served.node.set(redis_password_mark="m" * 32, redis_connected=False, warnings=warnings)
    views = (*one.served.node.seen.members, member("node3", Role.STANDBY))
    one.served.node.set(members=views)
    answer = json_of(await one.served.http.get(NODES, headers=one.served.bearer()))
    assert answer["answeredBy"] == "node1"
    by_name = {node["nodeName"]: node for node in answer["nodes"]}
    assert set(by_name) == {"node1", "node2", "node3"}
    assert by_name["node2"]["redisPasswordMark"] == "m" * 32
    assert (by_name["node2"]["answered"], by_name["node2"]["redisConnected"]) == (True, False)
    assert (by_name["node1"]["answered"], by_name["node1"]["redisConnected"]) == (True, True)
    assert (by_name["node3"]["answered"], by_name["node3"]["redisConnected"]) == (False, None)
    assert "was not carried out" in by_name["node3"]["reason"]
    assert by_name["node2"]["warnings"] == [warnings[0], "x" * 600], "what it alone knows is told by every node"
    assert by_name["node1"]["warnings"] == by_name["node3"]["warnings"] == []


async def test_a_witness_has_no_maintenance_and_the_answer_says_why(pair: Pair) -> None:
    one, _ = pair
    answer = await away(one.served, "witness")
    document = json_of(answer)
    assert (answer.status_code, document["code"]) == (409, "RPPAM-5216")
    assert "never leads" in document["detail"]
    assert "nodeUrl" not in document
