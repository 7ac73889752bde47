"""Every node takes an order: it hands it on to the one that it is for, once, and says what became of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rppam.adapters.system import relay
from rppam.adapters.system.relay import RestRelay
from rppam.adapters.system.rest_trust import Trust
from rppam.api.limits import ApiLimits
from rppam.domain.errors.administration import NobodyToFollow, NodeSilent, NotThisNode
from rppam.domain.errors.request import NotLeaderError
from rppam.domain.member import Role
from rppam.domain.secret import Secret
from rppam.ports.relay import HandedOn
from tests.contract.servers import free_port
from tests.integration.api.served import Served, member

NODES = "/api/v1/admin/nodes"
SWITCHOVER = "/api/v1/admin/cluster/switchover"
FORGET = "/api/v1/admin/cluster/forget"
AWAY = {"maintenance": True}


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Served, Served]]:
    """node1 leads, node2 is a standby; they know each other's addresses."""
    one, two = (Served(tmp_path / "keys", ApiLimits(), node=name) for name in ("node1", "node2"))
    for served in (one, two):
        await served.start()
    know(one, two, one.url, two.url)
    yield one, two
    for served in (one, two):
        await served.stop()


def know(one: Served, two: Served, *urls: str) -> None:
    views = (
        member("node1", Role.LEADER)._replace(api_url=urls[0], is_at_url=True),
        member("node2", Role.STANDBY)._replace(api_url=urls[1], is_at_url=True),
        member("witness", Role.WITNESS)._replace(api_url=""),
    )
    for served in (one, two):
        served.node.set(members=views)


async def away(served: Served, node: str, **headers: str) -> httpx.Response:
    return await served.http.put(f"{NODES}/{node}/maintenance", json=AWAY, headers=served.bearer() | headers)


async def saying(answer: bytes) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def json_of(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    return found


async def test_maintenance_of_another_node_is_ordered_at_any(pair: tuple[Served, Served]) -> None:
    one, two = pair
    answer = await away(one, "node2")
    assert (answer.status_code, answer.json()) == (200, {"said": "set_maintenance is begun", "node": "node2"})
    assert (one.orders.asked, two.orders.asked) == ([], [("set_maintenance", True, "admin")])


async def test_a_token_goes_nowhere_that_only_redis_speaks_of(pair: tuple[Served, Served]) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as thief:
        url = f"http://127.0.0.1:{thief.sockets[0].getsockname()[1]}"
        one, two = pair
        views = (
            member("node1", Role.LEADER)._replace(api_url=url),
            member("node2", Role.STANDBY)._replace(api_url=url),
        )
        for served in pair:
            served.node.set(members=views)
        answer = await away(one, "node2")
        assert (answer.status_code, answer.json()["nodeUrl"]) == (421, url)
        assert "only Redis says that node2 is there" in answer.json()["detail"]
        two.orders.failure = NotLeaderError("node2", "node1", url)
        answer = await two.http.post(SWITCHOVER, json={}, headers=two.bearer())
        assert (answer.status_code, answer.json()["leaderUrl"]) == (421, url)
    assert heard == []


async def test_a_switchover_sent_to_a_standby_reaches_the_leader(pair: tuple[Served, Served]) -> None:
    one, two = pair
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    answer = await two.http.post(SWITCHOVER, json={"target": "node2"}, headers=two.bearer())
    assert (answer.status_code, answer.json()) == (200, {"said": "switch_over is begun", "node": "node1"})
    assert one.orders.asked == two.orders.asked == [("switch_over", "node2", "admin")]


async def test_a_standby_has_the_leader_forget_a_member_and_does_the_forced_kind_itself(
    pair: tuple[Served, Served],
) -> None:
    one, two = pair
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    order = {"members": ["node3"], "off": True}
    answer = await two.http.post(FORGET, json=order, headers=two.bearer())
    assert (answer.status_code, answer.json()) == (200, {"said": "forget is begun", "node": "node1"})
    assert one.orders.asked == [("forget", "node3", True, "admin")]
    two.orders.failure = None
    forced = await two.http.post(FORGET, json=order | {"force": True}, headers=two.bearer())
    assert (forced.status_code, forced.json()["node"]) == (200, "node2")
    assert len(one.orders.asked) == 1


async def test_who_comes_with_the_console_s_cookie_is_handed_on_too(pair: tuple[Served, Served]) -> None:
    one, two = pair
    token = one.bearer()["Authorization"].removeprefix("Bearer ")
    headers = {"Cookie": f"rppam={token}", "Sec-Fetch-Site": "same-origin"}
    answer = await one.http.put(f"{NODES}/node2/maintenance", json=AWAY, headers=headers)
    assert answer.status_code == 200, answer.text
    assert two.orders.asked == [("set_maintenance", True, "admin")]


async def test_a_refusal_comes_back_in_the_other_node_s_words_and_under_one_id(pair: tuple[Served, Served]) -> None:
    one, two = pair
    two.orders.failure = NobodyToFollow("no other node could lead now, so node2 stays")
    answer = await away(one, "node2", **{"X-Request-Id": "order-77"})
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["detail"]) == (409, "RPPAM-5204", str(two.orders.failure))
    assert document["requestId"] == answer.headers["x-request-id"] == "order-77"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_order_is_handed_on_once_and_never_in_a_circle(pair: tuple[Served, Served]) -> None:
    one, two = pair
    one.orders.failure = NotLeaderError("node1", "node2", two.url)
    two.orders.failure = NotLeaderError("node2", "node1", one.url)
    answer = await one.http.post(SWITCHOVER, json={}, headers=one.bearer())
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["leaderUrl"]) == (421, "RPPAM-6020", one.url)
    assert one.orders.asked == two.orders.asked == [("switch_over", None, "admin")]
    # An address that leads back to the asked node, as a wrong node.advertiseUrl does.
    know(one, two, one.url, one.url)
    wrong = await away(one, "node2")
    assert (wrong.status_code, json_of(wrong)["code"], json_of(wrong)["node"]) == (421, "RPPAM-5202", "node2")
    assert "advertiseUrl" in json_of(wrong)["detail"]


async def test_a_node_that_cannot_be_reached_is_named_with_what_was_found(pair: tuple[Served, Served]) -> None:
    one, two = pair
    dead = f"http://127.0.0.1:{free_port()}"
    know(one, two, one.url, dead)
    answer = await away(one, "node2")
    document = json_of(answer)
    assert (answer.status_code, document["code"]) == (504, "RPPAM-5214")
    assert (document["node"], document["nodeUrl"]) == ("node2", dead)
    assert "connection refused" in document["detail"]
    know(one, two, one.url, "")
    unknown = await away(one, "node2")
    assert (unknown.status_code, json_of(unknown)["code"], json_of(unknown)["nodeUrl"]) == (421, "RPPAM-5202", None)
    nobody = await away(one, "node9")
    assert (nobody.status_code, json_of(nobody)["code"]) == (404, "RPPAM-5201")


async def test_a_node_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ANSWER_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        order = HandedOn("node2", url, "PUT", "/x", AWAY, Secret("t"), "id")
        with pytest.raises(NodeSilent, match=r"node1 handed the order on to node2 at .* no answer within 0\.05 s"):
            await RestRelay("node1", Trust(), only_https=False).hand_on(order)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            b'HTTP/1.1 401 No\r\nContent-Length: 46\r\n\r\n{"code": "RPPAM-6001", "detail": "no token  "}',
            "401 (RPPAM-6001",
        ),
        (b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone", "404, which no RP-PAM node answers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "200, which no RP-PAM node answers"),
    ],
)
async def test_what_is_between_the_nodes_is_not_put_down_to_the_caller(
    pair: tuple[Served, Served], said: bytes, found: str
) -> None:
    one, two = pair
    other = await saying(said)
    async with other:
        know(one, two, one.url, f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}")
        answer = await away(one, "node2")
    document = json_of(answer)
    assert (answer.status_code, document["code"], document["node"]) == (502, "RPPAM-5215", "node2")
    assert found in document["detail"]


async def test_a_token_is_not_sent_on_in_the_clear_by_a_node_that_serves_https() -> None:
    order = HandedOn("node2", "http://node2:7101", "PUT", "/x", AWAY, Secret("t"), "id")
    with pytest.raises(NotThisNode, match="node1 serves https") as refused:
        await RestRelay("node1", Trust(), only_https=True).hand_on(order)
    assert refused.value.members() == {"node": "node2", "nodeUrl": "http://node2:7101"}


async def test_a_witness_has_no_maintenance_and_the_answer_says_why(pair: tuple[Served, Served]) -> None:
    one, _ = pair
    answer = await away(one, "witness")
    document = json_of(answer)
    assert (answer.status_code, document["code"]) == (409, "RPPAM-5216")
    assert "never leads" in document["detail"]
    assert "nodeUrl" not in document
