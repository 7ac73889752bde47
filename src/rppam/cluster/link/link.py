"""The direct connections between the members of a cluster: asyncio, TLS 1.3, both sides known by the cluster key.

One connection goes out to each expected member: what this node asks leaves on it, and the votes come back on it. What
others ask comes in on connections of theirs. It decides who is heard (see ``credentials``, ``inbound``, ``outbound``)
and keeps everything bounded, so that no member, and nobody without the cluster key, costs the others more than a share.
No wall clock is read.

What it does not promise: that what was sent arrives, or arrives once (a sender may send again over the next
connection), or that everybody can tell apart two nodes that both hold the key and share a name.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final

from rppam.cluster.admin.errors import NodeAnswersWrongly, NodeSilent, NotThisNode
from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.cluster.consensus.messages import Freeing, Invitation, VoteRequest
from rppam.cluster.link.acceptor import Acceptor
from rppam.cluster.link.checkpoints import Answer, TakenCheckpoints
from rppam.cluster.link.codec import CheckpointAnswer, CheckpointOffer, Greeting
from rppam.cluster.link.connect import Dialer, NotReachedError
from rppam.cluster.link.connection import LINGER_S, LOOK_S, MemberConnection
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.inbound import LIVE_LOOKS, InboundPeers
from rppam.cluster.link.key_files import ClusterKeys, LinkKeys
from rppam.cluster.link.local_peer import DUPLICATE_US, LocalPeer, MemberListener, MemberOptions, PeerState
from rppam.cluster.link.orders import (
    BadAnswerError,
    NotGivenError,
    OrderOptions,
    TakenOrders,
    UnansweredError,
    refused_order,
)
from rppam.cluster.link.outbound import OutboundConnection, OutboundPeer
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant

_log: Final = logging.getLogger("rppam.members")

NAMESAKE_S: Final = 1.0
ADDRESSES_MAX: Final = 2 * MEMBERS_MAX
PEERS_CALM: Final = 16
"""With so many other members each is still pinged once a second."""


class TlsMemberLink:
    """See the module. A link is started once."""

    def __init__(self, options: MemberOptions, *, clock: Clock, entropy: Entropy) -> None:
        """Makes this node's certificate, which takes some 10 ms; needs no running loop."""
        self.options = options
        self.credentials = Credentials(
            options.cluster_key,
            cluster_id=options.cluster_id,
            node_name=options.node_name,
            also=options.also_believed,
            sealing=options.sealing,
        )
        cluster = ClusterKeys(options.cluster_key, options.also_believed)
        self.keys = LinkKeys(self.credentials, cluster, options.sealing)
        self._local = LocalPeer(options, self.credentials, clock, entropy)
        self._local.checkpoints = TakenCheckpoints()
        self._dialer = Dialer(self.credentials)
        self._addresses: dict[str, str] = {}
        self._expected: tuple[str, ...] = ()
        self._peers: dict[str, OutboundPeer] = {}
        self._inbound = InboundPeers(self._entered)
        self._acceptor: Acceptor | None = None
        """While it runs."""
        self._orders: OrderOptions | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def start(self, listener: MemberListener) -> None:
        """Listen, and begin to connect in the background. Raises MemberPortInUse when the port cannot be had."""
        local = self._local
        local.listener = listener
        local.orders = TakenOrders(self.options, self._orders, local.refusals, local.clock, local.entropy)
        acceptor = Acceptor(local, self._inbound)
        acceptor.open()
        self._acceptor = acceptor
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        self.keys.start()
        self.expect(self._expected, self._inbound.nodes)

    async def stop(self) -> None:
        """Close everything, after what was sent has left or 100 ms have passed. A second call does nothing."""
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        if self._looking is not None:
            self._looking.cancel()
        self.keys.stop()
        self._local.orders.stop()
        self._local.checkpoints.stop()
        await acceptor.close()
        outbound = [peer.connection for peer in self._peers.values() if peer.connection is not None]
        channels = [*(made.channel for made in outbound), *(peer.channel for peer in self._inbound.all)]
        for channel in channels:
            channel.finish()
        await _gone(channels)
        tasks = [peer.task for peer in self._peers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _gone(channels)

    def know(self, addresses: Mapping[str, str]) -> None:
        """Learn where members can be reached, ``host:port`` by name; replaces what was known of each name."""
        for name, address in addresses.items():
            if name == self.options.node_name or not address:
                continue
            if name not in self._addresses and len(self._addresses) >= ADDRESSES_MAX:
                self._forget_a_stranger()
            self._addresses[name] = address
            if name in self._peers:
                self._peers[name].move(address)

    def expect(self, members: Iterable[str], nodes: Iterable[str] = ()) -> None:
        """Keep connections to exactly these, but for this node itself; others are closed.

        ``nodes``: those that are no witnesses, and so have to prove it where that is demanded.
        """
        self._inbound.nodes = frozenset(nodes) - {self.options.node_name}
        self._expected = tuple(sorted({*members} - {self.options.node_name}))
        if self._acceptor is None:
            return
        for name in [name for name in self._peers if name not in self._expected]:
            self._peers.pop(name).end()
        for name in self._expected:
            if name not in self._peers:
                address = self._addresses.get(name, "")
                self._peers[name] = OutboundPeer(name, address, self._local, self._inbound, self._dialer)

    def send(self, to: str, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand a message to the network at once; return whether there was a connection to hand it to. Never blocks."""
        peer = self._peers.get(to)
        return peer is not None and peer.connection is not None and peer.connection.send(message)

    def take_orders(self, orders: OrderOptions) -> None:
        """Give and take orders from the start on. A witness never calls it."""
        assert self._acceptor is None, "what is taken is said at the start"
        self._orders = orders

    async def order(self, to: str, body: str, url: str | None) -> str:
        """Give the node ``to`` the order ``body`` and return its answer; both JSON.

        ``url``: where that node is said to answer, for the errors. Raises NotThisNode when nothing was sent, NodeSilent
        when it is not known what became of it, and what the other node, or the way to it, says.
        """
        peer = self._peers.get(to)
        made = None if peer is None else peer.connection
        if self._orders is None or made is None or not made.is_up or made.greeting is None:
            why = peer.state.reason if peer is not None else f"{to} is none of the members that this node reaches"
            raise NotThisNode(_not_sent(self.options.node_name, to, why or "the connection is being made"), to, url)
        who = f"{self.options.node_name} handed the order on to {made.who} over the member link"
        try:
            return await made.orders.give(made.greeting, self._orders.secrets, body)
        except NotGivenError as error:
            if error.refusal is None:
                raise NotThisNode(_not_sent(self.options.node_name, to, str(error)), to, url) from None
            raise refused_order(who, error.refusal, to, url) from None
        except UnansweredError as error:
            raise NodeSilent(f"{who}, and found: {error}; whether it was carried out is not known", to, url) from None
        except BadAnswerError as error:
            raise NodeAnswersWrongly(f"{who}; expected its answer, found {error}", to, url) from None

    def cosign(self, answer: Answer) -> None:
        """Answer the checkpoints of the ledger that nodes offer from now on so."""
        self._local.checkpoints.answer = answer

    async def offer_checkpoint(self, to: str, offer: CheckpointOffer) -> CheckpointAnswer | None:
        """Ask the member ``to`` for its cosignature; ``None`` where none came: not connected, older, or too slow."""
        peer = self._peers.get(to)
        made = None if peer is None else peer.connection
        return await made.checkpoints.offer(offer) if made is not None and made.is_up else None

    def hold(self, until: Instant) -> None:
        """Drop all connections, and make and take none before ``until``: a rehearsed fault."""
        self._local.held_until = until
        outbound = [peer.connection for peer in self._peers.values() if peer.connection is not None]
        for channel in [*(made.channel for made in outbound), *(peer.channel for peer in self._inbound.all)]:
            channel.drop()

    @property
    def witnesses(self) -> tuple[str, ...]:
        """The other members that never lead."""
        return tuple(name for name in self._expected if name not in self._inbound.nodes)

    async def greet_namesake(self, address: str) -> None:
        """Show this node at ``address``, where a live node has its name: that one refuses it, and its health says so.

        Tried once, for a second at most. Raises nothing: it is a courtesy of a node that ends.
        """
        if self._acceptor is None:
            return
        name = self.options.node_name
        made = OutboundConnection(name, address, self._local, self._inbound)
        try:
            async with asyncio.timeout(NAMESAKE_S):
                await self._dialer.dial(name, address, made.channel, timeout_s=NAMESAKE_S)
                made.greet()
                await made.greeted
        except (NotReachedError, TimeoutError) as error:
            _log.info("the other node named %s was not told of this one: %s", name, str(error) or "no answer in time")
        finally:
            made.channel.drop()

    @property
    def peers(self) -> Mapping[str, PeerState]:
        """Every expected member."""
        return {name: peer.state for name, peer in self._peers.items()}

    @property
    def places(self) -> Mapping[str, tuple[str, int]]:
        """Address and port by name, where nothing has to be looked up: of each expected member once connected to."""
        return {name: peer.place for name, peer in self._peers.items() if peer.place is not None}

    @property
    def addresses(self) -> Mapping[str, str]:
        """All that is known, also from greetings: worth keeping for a start without Redis."""
        return dict(self._addresses)

    @property
    def refused(self) -> Mapping[str, int]:
        """How many messages or connections were refused, by reason, since the start."""
        return self._local.refusals.counts

    @property
    def complaints(self) -> tuple[str, ...]:
        """What was refused within the last minute and why, and a duplicate of this node, each once, for health."""
        return tuple(dict.fromkeys(filter(None, (*self._local.refusals.recent(), self.duplicate))))

    @property
    def duplicate(self) -> str:
        """A sentence while another node with this node's name is seen, or others refuse this one for it; else empty.

        It has been so for three seconds: an old self of this node, after the death of its host, is no duplicate.
        """
        return self._local.duplicate.lasting()

    @property
    def displaced(self) -> str:
        """A sentence while members refuse this node for another of its name, and none has ever let it in; else empty.

        Then this process is the newcomer of the two. It takes twice the time that members may go on taking an old self
        of this node for alive.
        """
        if self._local.was_let_in:
            return ""
        old_self_us = int(2 * LIVE_LOOKS * look_period_s(len(self._peers)) * US_PER_S)
        return self._local.displacing.lasting(max(DUPLICATE_US, old_self_us))

    @property
    def callers(self) -> tuple[str, ...]:
        """Names that are connected to this node and were heard just now: members, and nodes that ask to be one."""
        return self._inbound.live

    @property
    def port(self) -> int:
        """Where it listens, once it has been started."""
        assert self._acceptor is not None
        return self._acceptor.port

    def _entered(self, greeting: Greeting) -> None:
        self.know({greeting.node: greeting.address})
        if greeting.node in self._peers:
            self._peers[greeting.node].seen()

    def _forget_a_stranger(self) -> None:
        for name in self._addresses:
            if name not in self._expected:
                del self._addresses[name]
                return

    def _look(self) -> None:
        """Look at all connections. Armed first: what fails here must not be the last look."""
        self._looking = asyncio.get_running_loop().call_later(look_period_s(len(self._peers)), self._look)
        for peer in self._peers.values():
            if peer.connection is not None:
                peer.connection.look()
        self._inbound.look()


def look_period_s(peers: int) -> float:
    """Return the seconds between two looks. With many members they are fewer, and so are pings.

    All that look at each other cost the square of their number; from ``PEERS_CALM`` on each costs the same however many
    there are, and silence is found later. A leader is missed by its vote_requests, so elections take no longer.
    """
    return LOOK_S * max(1.0, peers / PEERS_CALM)


def _not_sent(node: str, to: str, why: str) -> str:
    return f"{node} did not send it on to {to}, so it was not carried out there: {why}"


async def _gone(channels: list[MemberConnection]) -> None:
    """Wait until they are closed, at most for the time that what was said may linger."""
    waiting = [channel.gone for channel in channels if channel.transport is not None and not channel.gone.done()]
    if waiting:
        await asyncio.wait(waiting, timeout=LINGER_S)
