"""Orders between two nodes over the member link: asked for, given once, and answered.

A node that wants to give one first asks for leave, and gets a **ticket**: good once, for this connection, and for two
seconds by the clock of the node that gave it. So an order that was kept back, or is sent a second time, is refused
whatever the clocks of the two hosts say, and nothing has to be remembered of orders that are over. Then it sends the
order, signed, and waits for the signed answer.

The member link believes every holder of the cluster key, and witnesses hold it, too. So an order carries an HMAC with
SHA-256 (RFC 2104) under a key that HKDF (RFC 5869) derives from what seals secrets in the database, which is for nodes
alone. It is bound to the cluster, to both names, to the life of both processes, to the order's number and to its
ticket; an order and an answer are told apart. Signed with the own key; while the key is changed the next and the
previous one are believed, too.

Decides who may order (a member that may lead, by a key that witnesses do not have), that nothing here grows without
bound, and when an order was surely not carried out and when nobody knows. What an order does is decided elsewhere; it
is never sent on from here. A wrong signature ends no connection, as votes travel on it: it costs its sender a second.

What it does not promise: that an unsigned refusal is true. A holder of the cluster key may send it in another's name.
"""

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from rppam.cluster.admin.errors import OrderNotBelieved, TooManyOrders
from rppam.cluster.link.codec import (
    ANSWER_CHARS_MAX,
    ORDER_CHARS_MAX,
    Greeting,
    Order,
    OrderAnswer,
    OrderMessage,
    OrderOpen,
    OrderRefusal,
    OrderRefused,
    OrderTicket,
)
from rppam.cluster.link.connection import MemberConnection
from rppam.cluster.link.local_peer import MemberOptions
from rppam.cluster.link.rejections import Refused, Rejections
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.errors import SealingKeyMissing
from rppam.crypto.sealed import Label, derived, framed
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant, after

_log: Final = logging.getLogger("rppam.members")

WAIT_S: Final = 4.5
"""How long the answer to an order is waited for: less than a worker waits for the control process."""
TICKET_US: Final = 2 * US_PER_S
PENANCE_US: Final = US_PER_S
"""How long nothing is taken from a sender after a wrong signature: checking one costs."""
TICKETS_MAX: Final = 4
"""Tickets and orders under way of one connection."""
UNDER_WAY_MAX: Final = 16
"""Orders that are carried out at a time, from all connections."""

CarryOut = Callable[[str, str], Awaitable[str]]
"""Makes the answer to an order: (through which node it came, JSON) to JSON. It raises nothing."""


_LABEL: Final = Label(b"rppam-orders-1", b"authentication of orders between nodes")
ORDER: Final = "order"
ANSWER: Final = "answer"


class OrderKeys:
    """The keys of one moment."""

    __slots__ = ("_keys",)

    def __init__(self, secrets: ClusterSecrets) -> None:
        self._keys = tuple(derived(key, _LABEL) for key in (secrets.own, *secrets.coming, *secrets.gone))

    def tag(self, signed: bytes) -> str:
        """Return the signature, 64 hexadecimal digits."""
        return hmac.digest(self._keys[0], signed, "sha256").hex()

    def is_genuine(self, signed: bytes, tag: str) -> bool:
        """Return whether a node of this cluster made ``tag`` over exactly this."""
        return any(hmac.compare_digest(hmac.digest(key, signed, "sha256").hex(), tag) for key in self._keys)


async def read_keys(secrets: Callable[[], ClusterSecrets]) -> OrderKeys | None:
    """Read the keys of this host's files, on a thread; ``None`` where there are none."""
    try:
        return OrderKeys(await asyncio.to_thread(secrets))
    except SealingKeyMissing:
        return None


class OrderOptions(NamedTuple):
    """What a node needs to give and take orders."""

    secrets: Callable[[], ClusterSecrets]
    """What only nodes have; raises SealingKeyMissing."""
    carry_out: CarryOut
    may_order: Callable[[str], bool]
    """Whether a member of that name may lead, so that it has administrators to speak for."""


class NotGivenError(Exception):
    """The order was not sent, or surely not carried out. ``refusal``: by the other side; else ``str()`` says why."""

    def __init__(self, sentence: str, refusal: OrderRefusal | None = None) -> None:
        self.refusal = refusal
        super().__init__(sentence)


class UnansweredError(Exception):
    """The order was sent; whether it was carried out nobody knows."""


class BadAnswerError(Exception):
    """The order was sent, and what came back is not signed by a node of this cluster."""


class GivenOrders:
    """What this node orders on one connection that it made."""

    def __init__(self, options: MemberOptions, entropy: Entropy, channel: MemberConnection) -> None:
        self._options, self._entropy, self._channel = options, entropy, channel
        self._waiting: dict[str, asyncio.Future[OrderMessage]] = {}

    def heard(self, message: OrderTicket | OrderAnswer | OrderRefused) -> None:
        waiting = self._waiting.get(message.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def end(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection broke"))

    async def give(self, there: Greeting, secrets: Callable[[], ClusterSecrets], body: str) -> str:
        """Give the order ``body`` to the node that greeted so, and return its answer; both JSON.

        Raises NotGivenError, UnansweredError, BadAnswerError.
        """
        if len(body) > ORDER_CHARS_MAX:
            raise NotGivenError(f"it is longer than {ORDER_CHARS_MAX} characters")
        if len(self._waiting) >= TICKETS_MAX:
            raise NotGivenError(f"{TICKETS_MAX} orders to it are under way", OrderRefusal.BUSY)
        keys = await read_keys(secrets)
        if keys is None:
            raise NotGivenError("this host has no key to sign orders with (RPPAM-3128)")
        number = self._entropy.nonce()
        self._waiting[number] = asyncio.get_running_loop().create_future()
        given = False
        try:
            async with asyncio.timeout(WAIT_S):
                ticket = await self._ticket(number)
                order = self._signed(ORDER, there, number, ticket, body)
                self._waiting[number] = asyncio.get_running_loop().create_future()
                given = self._channel.say(Order(number, ticket, keys.tag(order), body))
                if not given:
                    raise NotGivenError("the connection broke")
                return self._read(await self._waiting[number], there, number, ticket, keys)
        except (TimeoutError, ConnectionError) as error:
            why = str(error) or f"no answer within {WAIT_S:g} s"
            raise (UnansweredError(why) if given else NotGivenError(why)) from None
        finally:
            del self._waiting[number]

    async def _ticket(self, number: str) -> str:
        if not self._channel.say(OrderOpen(number)):
            raise NotGivenError("the connection broke")
        match await self._waiting[number]:
            case OrderTicket(_, ticket):
                return ticket
            case OrderRefused(_, why):
                raise NotGivenError("it refused", why)
        raise NotGivenError("it answered an order that was not given yet")

    def _read(self, message: OrderMessage, there: Greeting, number: str, ticket: str, keys: OrderKeys) -> str:
        match message:
            case OrderRefused(_, why):
                raise NotGivenError("it refused", why)
            case OrderAnswer(_, tag, body):
                if keys.is_genuine(self._signed(ANSWER, there, number, ticket, body), tag):
                    return body
                raise BadAnswerError("an answer that no key of this cluster's nodes has signed")
        raise BadAnswerError("a second ticket in place of an answer")

    def _signed(self, kind: str, there: Greeting, number: str, ticket: str, body: str) -> bytes:
        here = self._options
        ours, theirs = (here.node_name, here.boot_id), (there.node, there.boot_id)
        return signed(kind, here.cluster_id, ours, theirs, number, ticket, body)


class _Ticket(NamedTuple):
    ticket: str
    until: Instant


class TakenOrders:
    """What others order of this node, on all connections that they made."""

    def __init__(
        self, options: MemberOptions, orders: OrderOptions | None, refusals: Rejections, clock: Clock, entropy: Entropy
    ) -> None:
        """``orders``: ``None`` where none are taken, as on a witness."""
        self._options, self._orders, self._refusals = options, orders, refusals
        self._clock, self._entropy = clock, entropy
        self._tickets: dict[MemberConnection, dict[str, _Ticket]] = {}
        self._under_way: dict[asyncio.Task[None], MemberConnection] = {}
        self._shunned: dict[str, Instant] = {}
        """Speakers, and until when nothing is taken from them."""

    def open(self, channel: MemberConnection, speaker: str, number: str) -> OrderTicket | OrderRefused:
        """Answer a node that asks for leave to give an order."""
        if self._orders is None:
            return OrderRefused(number, OrderRefusal.UNABLE)
        if not self._orders.may_order(speaker):
            return OrderRefused(number, OrderRefusal.NO_NODE)
        now = self._clock.now()
        self._shunned = {name: until for name, until in self._shunned.items() if now < until}
        held = {one: ticket for one, ticket in self._tickets.get(channel, {}).items() if now < ticket.until}
        of_channel = len(held) + sum(1 for other in self._under_way.values() if other is channel)
        if speaker in self._shunned or of_channel >= TICKETS_MAX or len(self._under_way) >= UNDER_WAY_MAX:
            return OrderRefused(number, OrderRefusal.BUSY)
        made = _Ticket(self._entropy.nonce(), after(now, TICKET_US))
        self._tickets[channel] = held | {number: made}
        return OrderTicket(number, made.ticket)

    def take(self, channel: MemberConnection, there: Greeting, order: Order) -> OrderRefused | None:
        """Have the order carried out, which is answered on ``channel`` later; or return why not."""
        held = self._tickets.get(channel, {})
        ticket = held.pop(order.number, None)  # good once, right or wrong
        if ticket is None or ticket.ticket != order.ticket or self._clock.now() >= ticket.until:
            return OrderRefused(order.number, OrderRefusal.TICKET)
        task = asyncio.get_running_loop().create_task(self._carry_out(channel, there, order), name="order of a node")
        self._under_way[task] = channel
        task.add_done_callback(self._done)
        return None

    def left(self, channel: MemberConnection) -> None:
        """Drop the tickets of a connection that is over. What was begun goes on."""
        self._tickets.pop(channel, None)

    def stop(self) -> None:
        for task in self._under_way:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an order of another node failed in a way that nobody foresaw", exc_info=error)

    async def _carry_out(self, channel: MemberConnection, there: Greeting, order: Order) -> None:
        assert self._orders is not None, "there was a ticket"
        keys = await read_keys(self._orders.secrets)
        if keys is None:
            channel.say(OrderRefused(order.number, OrderRefusal.UNABLE))
            return
        here = self._options
        ours, theirs = (here.node_name, here.boot_id), (there.node, there.boot_id)
        said = signed(ORDER, here.cluster_id, theirs, ours, order.number, order.ticket, order.body)
        if not keys.is_genuine(said, order.tag):
            self._shun(there.node)
            channel.say(OrderRefused(order.number, OrderRefusal.SIGNATURE))
            return
        if not self._orders.may_order(there.node):  # it may have been forgotten meanwhile
            channel.say(OrderRefused(order.number, OrderRefusal.NO_NODE))
            return
        body = await self._orders.carry_out(there.node, order.body)
        assert len(body) <= ANSWER_CHARS_MAX
        answer = signed(ANSWER, here.cluster_id, theirs, ours, order.number, order.ticket, body)
        channel.say(OrderAnswer(order.number, keys.tag(answer), body))

    def _shun(self, speaker: str) -> None:
        self._shunned[speaker] = after(self._clock.now(), PENANCE_US)
        self._refusals.refuse(
            speaker,
            Refused.FORGED,
            f"an order that came from {speaker} over the member link is not signed by a key that nodes of this cluster "
            "have, so it was not carried out. If both nodes are yours, let them have the same keys; else find out what "
            "runs there: it holds this cluster's key",
        )


def signed(
    kind: str, cluster_id: str, giver: tuple[str, str], taker: tuple[str, str], number: str, ticket: str, body: str
) -> bytes:
    """Make what is signed of an order that ``giver`` gives ``taker``, or of the answer (each a name and a boot id).

    The side that speaks stands first, so an order is no answer; ``kind`` is ``ORDER`` or ``ANSWER``.
    """
    speaker, hearer = (giver, taker) if kind == ORDER else (taker, giver)
    return framed(*(word.encode() for word in (kind, cluster_id, *speaker, *hearer, number, ticket, body)))


_WHY: Final = {
    OrderRefusal.SIGNATURE: "it is not signed by a key that it believes: one of the two has another key than the nodes "
    "of this cluster",
    OrderRefusal.TICKET: "it came too late, so give it again; if it stays so, look at the network between the two",
    OrderRefusal.NO_NODE: "only members that may lead give orders, and there this node is none of them (yet)",
    OrderRefusal.UNABLE: "it takes no orders: it is a witness, or has no key to check them with",
}


def refused_order(who: str, why: OrderRefusal, to: str, url: str | None) -> OrderNotBelieved | TooManyOrders:
    """Make the error for a refusal by ``to``; ``who`` begins its sentence: who handed the order on to whom."""
    if why is OrderRefusal.BUSY:
        return TooManyOrders(f"{who}, and as many orders as it takes are under way there")
    return OrderNotBelieved(f"{who}, which says that it did not carry it out: {_WHY[why]}", to, url)
