"""The direct connections between the members of a cluster: asyncio, TLS 1.3, both sides known by the cluster key.

One connection goes out to each expected member: what this node asks leaves on it, and the votes come back on it. What
others ask comes in on connections of theirs. It decides who is heard (see ``credentials``, ``incoming`` and ``call``)
and keeps everything bounded, so that no member, and nobody without the cluster key, costs the others more than a
share. No wall clock is read.

What it does not promise: that what was sent arrives, or arrives once (a sender may send again over the next
connection), or that two nodes that both hold the key and share a name are told apart by everybody: see
:attr:`TlsMemberLink.twin`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from rppam.cluster.admin.errors import NodeAnswersWrongly, NodeSilent, NotThisNode
from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.cluster.consensus.messages import Freeing, Invitation, VoteRequest
from rppam.cluster.link.acceptor import Acceptor
from rppam.cluster.link.codec import Greeting
from rppam.cluster.link.connect import NotReachedError, Pace, dial
from rppam.cluster.link.connection import LINGER_S, LOOK_S, MemberConnection
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.inbound import LIVE_LOOKS, InboundPeers
from rppam.cluster.link.key_files import ClusterKeyFiles, ClusterKeys, SealingKeyFiles
from rppam.cluster.link.local_peer import LocalPeer, MemberOptions
from rppam.cluster.link.names import Names
from rppam.cluster.link.orders import (
    BadAnswerError,
    NotGivenError,
    OrderOptions,
    TakenOrders,
    UnansweredError,
    refused_order,
)
from rppam.cluster.link.outbound import OutboundPeer
from rppam.cluster.link.peer import Peer
from rppam.cluster.link.ports import MemberListener, PeerState
from rppam.cluster.link.rejections import Rejections
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S

_log: Final = logging.getLogger("rppam.members")

NAMESAKE_S: Final = 1.0
ADDRESSES_MAX: Final = 2 * MEMBERS_MAX
PEERS_CALM: Final = 16
"""With so many other members each is still asked once a second whether it is there."""


class TlsMemberLink:
    """The real :class:`rppam.cluster.link.ports.MemberLink`."""

    def __init__(
        self,
        options: MemberOptions,
        *,
        clock: Clock,
        entropy: Entropy,
        keys: ClusterKeyFiles | None = None,
        sealing_keys: SealingKeyFiles | None = None,
        on_keys: Callable[[ClusterKeys], None] = lambda _: None,
        on_sealing_keys: Callable[[ClusterKeys], None] = lambda _: None,
    ) -> None:
        """Makes this node's certificate, which takes some 10 ms; needs no running loop.

        ``keys`` and ``sealing_keys``: where the two keys stand, to be looked at every second; ``on_keys`` and
        ``on_sealing_keys``: who else uses them.
        """
        self.options = options
        self._clock = clock
        self._entropy = entropy
        self._refusals = Rejections(clock)
        self.credentials = Credentials(
            options.cluster_key,
            cluster_id=options.cluster_id,
            node_name=options.node_name,
            also=options.also_believed,
            sealing=options.sealing,
        )
        self._on_keys, self._on_sealing_keys = on_keys, on_sealing_keys
        self._keys = ClusterKeys(options.cluster_key, options.also_believed)
        self._sealing = options.sealing
        self._key_files = [(keys, self._use, "cluster key")] if keys is not None else []
        if sealing_keys is not None:
            self._key_files.append((sealing_keys, self._use_sealing, "sealing key"))
        self._renewing = asyncio.Lock()
        self._key_watches: list[asyncio.Task[None]] = []
        self._names = Names()
        self._pace = Pace()
        self._addresses: dict[str, str] = {}
        self._expected: tuple[str, ...] = ()
        self._peers: dict[str, Peer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._party: LocalPeer | None = None
        self._guests = InboundPeers(self._entered)
        self._door: Acceptor | None = None
        self._orders: OrderOptions | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def start(self, listener: MemberListener) -> None:
        """Listen, and begin to connect in the background.

        Raises :class:`~rppam.cluster.errors.MemberPortInUse` when the port cannot be had.
        """
        assert self._party is None, "a link is started once"
        party = LocalPeer(
            options=self.options,
            credentials=self.credentials,
            refusals=self._refusals,
            clock=self._clock,
            entropy=self._entropy,
            listener=listener,
            orders=TakenOrders(self.options, self._orders, self._refusals, self._clock, self._entropy),
        )
        door = Acceptor(party, self._guests)
        door.open()
        self._party, self._door = party, door
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        for files, use, name in self._key_files:
            following = files.follow(use, _log, "what was read before stays in use")
            self._key_watches.append(asyncio.create_task(following, name=name))
        self.expect(self._expected, self._guests.nodes)

    async def _use(self, keys: ClusterKeys) -> None:
        self._keys = keys
        await self._renew()
        self._on_keys(keys)
        believed = len(keys.also) + 1
        plural = "s are" if believed > 1 else " is"
        _log.info("the files of the cluster key changed: %d key%s believed now", believed, plural)

    async def _use_sealing(self, keys: ClusterKeys) -> None:
        self._sealing = (keys.own, *keys.also)
        await self._renew()
        self._on_sealing_keys(keys)

    async def _renew(self) -> None:
        """One at a time, and by what was read last: the files of both keys may change at once."""
        async with self._renewing:
            await asyncio.to_thread(self.credentials.use, *self._keys, self._sealing)

    async def stop(self) -> None:
        """Close everything, after what was sent has left or 100 ms have passed. A second call does nothing."""
        door, self._door = self._door, None
        if door is None:
            return
        if self._looking is not None:
            self._looking.cancel()
        for watch in self._key_watches:
            watch.cancel()
        if self._party is not None:
            self._party.orders.stop()
        await door.close()
        calls = [peer.call for peer in self._peers.values() if peer.call is not None]
        channels = [*(call.channel for call in calls), *(guest.channel for guest in self._guests.all)]
        for channel in channels:
            channel.finish()
        await _gone(channels)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await _gone(channels)

    def know(self, addresses: Mapping[str, str]) -> None:
        """Where members can be reached, ``host:port`` by name; later knowledge replaces earlier, for each name."""
        for name, address in addresses.items():
            if name == self.options.node_name or not address:
                continue
            if name not in self._addresses and len(self._addresses) >= ADDRESSES_MAX:
                self._forget_a_stranger()
            self._addresses[name] = address
            if name in self._peers:
                self._peers[name].move(address)

    def expect(self, members: Iterable[str], nodes: Iterable[str] = ()) -> None:
        """Keep connections to exactly these; others are closed. This node's own name counts for nothing.

        ``nodes``: those that are no witnesses, and so have to prove it where that is demanded.
        """
        self._guests.nodes = frozenset(nodes) - {self.options.node_name}
        self._expected = tuple(sorted({*members} - {self.options.node_name}))
        party = self._party
        if party is None or self._door is None:
            return
        for name in [name for name in self._peers if name not in self._expected]:
            self._part(name)
        loop = asyncio.get_running_loop()
        for name in self._expected:
            if name not in self._peers:
                peer = Peer(name, party, self._guests, self._names, self._pace)
                peer.move(self._addresses.get(name, ""))
                self._peers[name] = peer
                self._tasks[name] = loop.create_task(peer.run(), name=f"member {name}")

    def send(self, to: str, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand a message to the network at once; whether there was a connection to hand it to. Never blocks."""
        peer = self._peers.get(to)
        return peer is not None and peer.send(message)

    def take_orders(self, orders: OrderOptions) -> None:
        """Give and take orders from now on; before :meth:`start`. A witness never calls it."""
        assert self._party is None, "what is taken is said at the start"
        self._orders = orders

    async def order(self, to: str, body: str, url: str | None) -> str:
        """See :meth:`rppam.cluster.admin.forwarding_port.OrderWay.order`."""
        peer = self._peers.get(to)
        call = None if peer is None else peer.call
        if self._orders is None or call is None or not call.is_up or call.greeting is None:
            why = peer.state.reason if peer is not None else f"{to} is none of the members that this node reaches"
            raise NotThisNode(_not_sent(self.options.node_name, to, why or "the connection is being made"), to, url)
        who = f"{self.options.node_name} handed the order on to {call.who} over the member link"
        try:
            return await call.orders.give(call.greeting, self._orders.secrets, body)
        except NotGivenError as error:
            if error.refusal is None:
                raise NotThisNode(_not_sent(self.options.node_name, to, str(error)), to, url) from None
            raise refused_order(who, error.refusal, to, url) from None
        except UnansweredError as error:
            raise NodeSilent(f"{who}, and found: {error}; whether it was carried out is not known", to, url) from None
        except BadAnswerError as error:
            raise NodeAnswersWrongly(f"{who}; expected its answer, found {error}", to, url) from None

    @property
    def peers(self) -> Mapping[str, PeerState]:
        """Every expected member."""
        return {name: peer.state for name, peer in self._peers.items()}

    @property
    def places(self) -> Mapping[str, tuple[str, int]]:
        """Address and port by name, where nothing has to be looked up: of each expected member once connected to."""
        return {name: peer.place for name, peer in self._peers.items() if peer.place is not None}

    async def greet_namesake(self, address: str) -> None:
        """Show this node at ``address``, where a live node has its name: it refuses, and tells so in its health.

        Tried once, for a second at most. Raises nothing: it is a courtesy of a node that ends.
        """
        if self._party is None:
            return
        name = self.options.node_name
        call = OutboundPeer(name, address, self._party, self._guests)
        try:
            async with asyncio.timeout(NAMESAKE_S):
                client = self.credentials.client
                await dial(name, address, call.channel, client, self._names, self._pace, timeout_s=NAMESAKE_S)
                call.greet()
                await call.greeted
        except (NotReachedError, TimeoutError) as error:
            _log.info("the other node named %s was not told of this one: %s", name, str(error) or "no answer in time")
        finally:
            call.channel.drop()

    @property
    def refused(self) -> Mapping[str, int]:
        """How many messages or connections were refused, by reason, since the start."""
        return self._refusals.counts

    @property
    def complaints(self) -> tuple[str, ...]:
        """Who was refused within the last minute and why, in sentences for health; the latest last."""
        return self._refusals.recent()

    @property
    def twin(self) -> str:
        """A sentence while another node with this node's name is seen, or others refuse this one for it; else empty.

        It has been so for three seconds: an old self of this node, after the death of its host, is no twin.
        """
        return "" if self._party is None else self._party.twin

    @property
    def displaced(self) -> str:
        """See :attr:`rppam.cluster.link.ports.MemberLink.displaced`.

        So it is only after twice the time that members may go on taking an old self of this node for alive.
        """
        if self._party is None:
            return ""
        return self._party.displaced(int(2 * LIVE_LOOKS * look_period_s(len(self._peers)) * US_PER_S))

    @property
    def callers(self) -> tuple[str, ...]:
        """See :attr:`rppam.cluster.link.ports.MemberLink.callers`."""
        return self._guests.live

    @property
    def addresses(self) -> Mapping[str, str]:
        """All that is known, also from greetings: worth keeping for a start without Redis."""
        return dict(self._addresses)

    @property
    def port(self) -> int:
        """Where it listens; it has been started."""
        assert self._door is not None
        return self._door.port

    def _entered(self, greeting: Greeting) -> None:
        """Somebody connected, and says where he is."""
        self.know({greeting.node: greeting.address})
        if greeting.node in self._peers:
            self._peers[greeting.node].seen()

    def _part(self, name: str) -> None:
        peer, task = self._peers.pop(name), self._tasks.pop(name)
        if peer.call is not None:
            peer.call.channel.finish()
        task.cancel()

    def _forget_a_stranger(self) -> None:
        for name in self._addresses:
            if name not in self._expected:
                del self._addresses[name]
                return

    def _look(self) -> None:
        """Every quarter of a second. Armed first: what fails here must not be the last look."""
        self._looking = asyncio.get_running_loop().call_later(look_period_s(len(self._peers)), self._look)
        for peer in self._peers.values():
            peer.look()
        self._guests.look()


def look_period_s(peers: int) -> float:
    """Seconds between two looks. With many members they are fewer, and so are pings, and silence is found later.

    All that look at each other cost the square of their number; from :data:`PEERS_CALM` on each costs the same however
    many there are. A leader is missed by its ballots, not by pings, so elections take no longer.
    """
    return LOOK_S * max(1.0, peers / PEERS_CALM)


def _not_sent(node: str, to: str, why: str) -> str:
    return f"{node} did not send it on to {to}, so it was not carried out there: {why}"


async def _gone(channels: list[MemberConnection]) -> None:
    """Wait until they are closed, at most for so long as what was said may linger."""
    waiting = [channel.gone for channel in channels if channel.transport is not None and not channel.gone.done()]
    if waiting:
        await asyncio.wait(waiting, timeout=LINGER_S)
