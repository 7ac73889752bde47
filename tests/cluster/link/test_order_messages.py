"""Orders on the member link: carried out once, for a node, within their time; and what a holder of the link's key, who
is no node, can make of them: nothing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from rppam.cluster.admin.errors import (
    NodeAnswersWrongly,
    NodeSilent,
    NotThisNode,
    OrderNotBelieved,
    TooManyOrders,
)
from rppam.cluster.link import orders
from rppam.cluster.link.codec import (
    ORDER_CHARS_MAX,
    Greeting,
    Order,
    OrderAnswer,
    OrderMessage,
    OrderOpen,
    OrderRefusal,
    OrderRefused,
    OrderTicket,
    Purpose,
    decode,
    decode_greeting,
    encode,
)
from rppam.cluster.link.orders import ANSWER, ORDER, OrderKeys, OrderOptions, signed
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.errors import SealingKeyMissing
from rppam.kernel.secret import Secret
from tests.cluster.link.links import (
    CLUSTER,
    KEY,
    Impostor,
    Node,
    Stranger,
    connected,
    eventually,
    is_unharmed,
    make_node,
    running,
    stranger,
)

pytestmark = pytest.mark.integration

NODE_KEY, NEXT_KEY = Secret("0badcafe" * 8), Secret("facade00" * 8)
BODY = json.dumps({"order": "set_maintenance", "arguments": {"on": True, "by": "eve"}, "request": "1"})
ELSE = "41aa0b2c3d4e5f60"


@dataclass
class Taking:
    """What a node does with orders: it writes them down and answers."""

    secrets: ClusterSecrets = field(default_factory=lambda: ClusterSecrets(NODE_KEY))
    taken: list[tuple[str, str]] = field(default_factory=list)
    barred: set[str] = field(default_factory=set)
    work: Callable[[], Awaitable[None]] | None = None

    @property
    def options(self) -> OrderOptions:
        return OrderOptions(lambda: self.secrets, self.carry_out, lambda node: node not in self.barred)

    async def carry_out(self, through: str, body: str) -> str:
        self.taken.append((through, body))
        if self.work is not None:
            await self.work()
        return '{"said": "done"}'


def taking_node(name: str, taking: Taking) -> Node:
    node = make_node(name)
    node.link.take_orders(taking.options)
    return node


@asynccontextmanager
async def pair(one: Taking, two: Taking) -> AsyncIterator[tuple[Node, Node]]:
    nodes = taking_node("node1", one), taking_node("node2", two)
    async with running(*nodes):
        await connected(*nodes)
        yield nodes


def tag_of(taker: Node, ticket: str, *, body: str = BODY, key: Secret = NODE_KEY, giver: str = "node3", boot: str = "",
           number: str = "1" * 16, kind: str = ORDER) -> str:  # fmt: skip
    said = signed(kind, CLUSTER, (giver, ELSE), (taker.name, boot or taker.boot_id), number, ticket, body)
    return OrderKeys(ClusterSecrets(key)).tag(said)


async def ticket_for(guest: Stranger, number: str = "1" * 16) -> str:
    guest.say(encode(OrderOpen(number)))
    reply = decode(await guest.hear() or b"")
    assert isinstance(reply, OrderTicket), reply
    return reply.ticket


async def reply_to(guest: Stranger, order: Order) -> OrderAnswer | OrderRefused:
    guest.say(encode(order))
    reply = decode(await guest.hear() or b"")
    assert isinstance(reply, OrderAnswer | OrderRefused), reply
    return reply


@asynccontextmanager
async def guest_of(node: Node, name: str = "node3") -> AsyncIterator[Stranger]:
    """Somebody who holds the link's key, let in by that name."""
    async with stranger(node, name) as guest:
        assert isinstance(decode_greeting(await guest.hear() or b""), Greeting)
        yield guest


async def test_an_order_is_carried_out_there_once_and_its_answer_comes_back() -> None:
    one, two = Taking(), Taking()
    async with pair(one, two) as (first, _):
        for _ in range(3):
            assert await first.link.order("node2", BODY, None) == '{"said": "done"}'
    assert (one.taken, two.taken) == ([], [("node1", BODY)] * 3)


async def test_the_next_and_the_previous_key_are_believed_while_it_is_changed() -> None:
    one, two = Taking(ClusterSecrets(NEXT_KEY, gone=(NODE_KEY,))), Taking(ClusterSecrets(NODE_KEY, coming=(NEXT_KEY,)))
    async with pair(one, two) as (first, second):
        await first.link.order("node2", BODY, None)
        await second.link.order("node1", BODY, None)
        two.secrets = ClusterSecrets(NODE_KEY)  # it has not heard of the next one
        with pytest.raises(OrderNotBelieved, match="not signed by a key that it believes"):
            await first.link.order("node2", BODY, "http://node2:7101")
        await is_unharmed(first, second)
    assert (len(one.taken), len(two.taken)) == (1, 1)


@pytest.mark.parametrize("key", [KEY, NEXT_KEY], ids=["the link's key", "another"])
async def test_a_holder_of_the_link_s_key_alone_orders_nothing_in_any_name(key: Secret) -> None:
    taking = Taking()
    node, friend = taking_node("node1", taking), make_node("node2")
    async with running(node, friend), guest_of(node) as guest:
        ticket = await ticket_for(guest)
        reply = await reply_to(guest, Order("1" * 16, ticket, tag_of(node, ticket, key=key), BODY))
        assert reply == OrderRefused("1" * 16, OrderRefusal.SIGNATURE)
        guest.say(encode(OrderOpen("2" * 16)))
        assert decode(await guest.hear() or b"") == OrderRefused("2" * 16, OrderRefusal.BUSY), "it waits a second"
        assert node.link.refused["forged"] == 1
        assert any("is not signed by a key that nodes of this cluster have" in told for told in node.link.complaints)
        await connected(node, friend)
        await is_unharmed(node, friend)
    assert taking.taken == []


@pytest.mark.parametrize("what", ["giver", "boot", "number", "kind", "body", "ticket"])
async def test_a_signature_is_good_for_nothing_but_what_it_was_made_for(what: str) -> None:
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node), guest_of(node) as guest:
        ticket = await ticket_for(guest)
        tags = {
            "giver": tag_of(node, ticket, giver="node4"),
            "boot": tag_of(node, ticket, boot="0" * 16),  # of another life of who takes it
            "number": tag_of(node, ticket, number="2" * 16),
            "kind": tag_of(node, ticket, kind=ANSWER),
            "body": tag_of(node, ticket, body=BODY.replace("true", "false")),
            "ticket": tag_of(node, "0" * 16),
        }
        reply = await reply_to(guest, Order("1" * 16, ticket, tags[what], BODY))
        assert reply == OrderRefused("1" * 16, OrderRefusal.SIGNATURE)
    assert taking.taken == []


async def test_what_was_carried_out_is_not_carried_out_again() -> None:
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node):
        async with guest_of(node) as guest:
            ticket = await ticket_for(guest)
            order = Order("1" * 16, ticket, tag_of(node, ticket), BODY)
            answer = await reply_to(guest, order)
            assert isinstance(answer, OrderAnswer)
            assert answer.tag == tag_of(node, ticket, body=answer.body, kind=ANSWER)
            assert await reply_to(guest, order) == OrderRefused("1" * 16, OrderRefusal.TICKET)
            await ticket_for(guest)
            assert await reply_to(guest, order) == OrderRefused("1" * 16, OrderRefusal.TICKET)
        async with guest_of(node) as again:
            await ticket_for(again)
            assert await reply_to(again, order) == OrderRefused("1" * 16, OrderRefusal.TICKET)
    assert len(taking.taken) == 1


async def test_an_order_that_was_kept_back_is_not_carried_out_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "TICKET_US", 100_000)
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node), guest_of(node) as guest:
        ticket = await ticket_for(guest)
        await asyncio.sleep(0.15)
        reply = await reply_to(guest, Order("1" * 16, ticket, tag_of(node, ticket), BODY))
        assert reply == OrderRefused("1" * 16, OrderRefusal.TICKET)
    assert taking.taken == []


async def test_a_ticket_is_for_the_connection_that_it_was_given_on() -> None:
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node), guest_of(node) as guest, guest_of(node, "node4") as other:
        ticket = await ticket_for(guest)
        reply = await reply_to(other, Order("1" * 16, ticket, tag_of(node, ticket), BODY))
        assert reply == OrderRefused("1" * 16, OrderRefusal.TICKET)
    assert taking.taken == []


async def test_a_witness_gives_no_order_even_with_the_nodes_key_and_takes_none() -> None:
    one, two = Taking(barred={"witness"}), Taking()
    node, witness, bare = taking_node("node1", one), taking_node("witness", two), make_node("node2")
    async with running(node, witness, bare):
        await connected(node, witness, bare)
        with pytest.raises(OrderNotBelieved, match="only members that may lead give orders"):
            await witness.link.order("node1", BODY, None)
        with pytest.raises(OrderNotBelieved, match="it takes no orders"):
            await node.link.order("node2", BODY, None)  # as a witness is: no orders were set up
        with pytest.raises(NotThisNode):
            await bare.link.order("node1", BODY, None)
        one.barred = {"node3"}
        await is_unharmed(node, witness)
    assert one.taken == []


async def test_who_was_forgotten_between_its_ticket_and_its_order_is_refused() -> None:
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node), guest_of(node) as guest:
        ticket = await ticket_for(guest)
        taking.barred = {"node3"}
        reply = await reply_to(guest, Order("1" * 16, ticket, tag_of(node, ticket), BODY))
        assert reply == OrderRefused("1" * 16, OrderRefusal.NO_NODE)
    assert taking.taken == []


async def test_an_errand_of_another_process_brings_no_order() -> None:
    taking = Taking()
    node = taking_node("node1", taking)
    async with running(node), stranger(node, "node3", purpose=Purpose.ERRAND) as guest:
        assert isinstance(decode_greeting(await guest.hear() or b""), Greeting)
        guest.say(encode(OrderOpen("1" * 16)))
        assert await guest.is_hung_up_on()
    assert taking.taken == []


async def test_a_node_without_a_key_neither_gives_nor_takes() -> None:
    def missing() -> ClusterSecrets:
        raise SealingKeyMissing("no file")

    one, two = Taking(), Taking()
    first, second = make_node("node1"), make_node("node2")
    first.link.take_orders(one.options._replace(secrets=missing))
    second.link.take_orders(two.options)
    async with running(first, second):
        await connected(first, second)
        with pytest.raises(NotThisNode, match="this host has no key to sign orders with"):
            await first.link.order("node2", BODY, None)
        with pytest.raises(OrderNotBelieved, match="has no key to check them with"):
            await second.link.order("node1", BODY, None)
    assert one.taken == two.taken == []


async def test_what_is_too_long_is_not_sent_and_ends_the_connection_of_who_sends_it() -> None:
    one, two = Taking(), Taking()
    long = '{"x": "' + "x" * ORDER_CHARS_MAX + '"}'
    async with pair(one, two) as (first, second):
        with pytest.raises(NotThisNode, match="longer than"):
            await first.link.order("node2", long, None)
        async with guest_of(first) as guest:
            ticket = await ticket_for(guest)
            guest.say(encode(Order("1" * 16, ticket, tag_of(first, ticket, body=long), long)))
            assert await guest.is_hung_up_on()
        assert first.link.refused["malformed"] == 1
        await is_unharmed(first, second)
    assert one.taken == two.taken == []


async def test_a_flood_of_orders_is_bounded_and_costs_the_others_nothing() -> None:
    one, two = Taking(), Taking()
    async with pair(one, two) as (first, second), guest_of(first) as guest:
        replies = []
        for number in range(1_000):
            guest.say(encode(OrderOpen(f"{number:016x}")))
            replies.append(decode(await guest.hear() or b""))
        tickets = [reply for reply in replies if isinstance(reply, OrderTicket)]
        assert len(tickets) == orders.TICKETS_MAX
        assert all(reply.why is OrderRefusal.BUSY for reply in replies if isinstance(reply, OrderRefused))
        await is_unharmed(first, second)
        assert await second.link.order("node1", BODY, None), "another node's orders are taken all the same"
    assert [through for through, _ in one.taken] == ["node2"]


async def test_orders_under_way_are_few_and_one_too_many_is_told() -> None:
    free = asyncio.Event()

    async def wait() -> None:
        await free.wait()

    one, two = Taking(), Taking(work=wait)
    async with pair(one, two) as (first, second):
        many = [asyncio.create_task(first.link.order("node2", BODY, None)) for _ in range(orders.TICKETS_MAX)]
        await eventually(lambda: len(two.taken) == orders.TICKETS_MAX)
        with pytest.raises(TooManyOrders):
            await first.link.order("node2", BODY, None)
        await is_unharmed(first, second)
        free.set()
        assert await asyncio.gather(*many) == ['{"said": "done"}'] * orders.TICKETS_MAX
        assert await first.link.order("node2", BODY, None)


async def test_a_node_that_dies_in_the_middle_leaves_it_unknown_and_that_is_said() -> None:
    async def die() -> None:
        for guest in second.link._inbound.all:
            guest.channel.drop()
        await asyncio.sleep(60)

    one, two = Taking(), Taking(work=die)
    async with pair(one, two) as (first, second):
        with pytest.raises(NodeSilent, match="the connection broke; whether it was carried out is not known") as told:
            await first.link.order("node2", BODY, "http://node2:7101")
        assert told.value.members() == {"node": "node2", "nodeUrl": "http://node2:7101"}
    assert len(two.taken) == 1


async def test_who_is_not_reached_got_nothing_and_that_is_said() -> None:
    one, two = Taking(), Taking()
    async with pair(one, two) as (first, second):
        await second.link.stop()
        await eventually(lambda: not first.link.peers["node2"].is_connected)
        for name in ("node2", "node9"):
            with pytest.raises(NotThisNode, match="did not send it on"):
                await first.link.order(name, BODY, None)
    assert two.taken == []


@pytest.mark.parametrize("how", ["unsigned", "silent", "refused", "ticket again", "at once"])
async def test_an_answer_is_believed_of_a_node_alone(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the link's key stands in for node2, and would like the order to look as if it were done."""
    monkeypatch.setattr(orders, "WAIT_S", 0.5)
    taking = Taking()
    node = taking_node("node1", taking)

    async def answer(caller: Stranger) -> None:
        while True:
            match decode(await caller.hear() or b""):
                case OrderOpen(number):
                    at_once = OrderAnswer(number, "0" * 64, '{"said": "done"}')
                    caller.say(encode(at_once if how == "at once" else OrderTicket(number, "1" * 16)))
                case Order(number, ticket, tag, _):
                    said: dict[str, OrderMessage] = {
                        "unsigned": OrderAnswer(number, tag, '{"said": "done"}'),
                        "refused": OrderRefused(number, OrderRefusal.TICKET),
                        "ticket again": OrderTicket(number, ticket),
                    }
                    if how in said:
                        caller.say(encode(said[how]))
                case None:
                    return
                case _:
                    pass

    async with running(node), Impostor("node2").open() as impostor:
        node.link.know({"node2": impostor.address})
        node.link.expect(["node1", "node2"])
        await eventually(lambda: impostor.callers and node.link.peers["node2"].is_connected)
        acting = asyncio.create_task(answer(impostor.callers[-1]))
        kind = {
            "unsigned": NodeAnswersWrongly, "silent": NodeSilent, "refused": OrderNotBelieved,
            "ticket again": NodeAnswersWrongly, "at once": NotThisNode,
        }[how]  # fmt: skip
        with pytest.raises(kind):
            await node.link.order("node2", BODY, None)
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)


async def test_an_api_s_address_is_believed_from_the_connection_that_stands_alone() -> None:
    one, two = Taking(), Taking()
    first, second = taking_node("node1", one), taking_node("node2", two)
    second.link._local.options = replace(second.link.options, url="https://node2.example.com:7101")
    async with running(first, second):
        await connected(first, second)
        assert first.link.peers["node2"].api_url == "https://node2.example.com:7101"
        first.link.know({"node2": "127.0.0.9:1"})  # as a writer of Redis says
        assert first.link.peers["node2"].api_url == "https://node2.example.com:7101"
        await second.link.stop()
        await eventually(lambda: not first.link.peers["node2"].is_connected)
        assert first.link.peers["node2"].api_url == ""
