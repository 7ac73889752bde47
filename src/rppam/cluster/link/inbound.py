"""What other members ask: the connections that they made to this node.

Decides who is let in (a certificate of this cluster, the same version and cluster id, a name that nobody else has),
and that each speaks in its own name: a request or a release in another's name is forged. Newcomers that are no members
yet are let in; the core decides whether a vote request counts. One connection per name: a second one of the same life
replaces the first; one of another life is refused while the first was heard within two seconds, since then there are
two nodes with one name.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.link.codec import (
    PROTOCOL,
    CheckpointOffer,
    Greeting,
    No,
    Order,
    OrderOpen,
    OtherVersion,
    Ping,
    Pong,
    Purpose,
    Unknown,
    decode,
    decode_greeting,
    encode_greeting,
    encode_no,
)
from rppam.cluster.link.connection import Ended, MemberConnection
from rppam.cluster.link.credentials import certified_name
from rppam.cluster.link.local_peer import LocalPeer, other_version
from rppam.cluster.link.rejections import Refused
from rppam.kernel.instant import Instant

PEERS_MAX: Final = 256
ERRANDS_MAX: Final = 32
LIVE_LOOKS: Final = 8
"""A peer heard within so many looks (2 s) is alive: another life of the same name is a duplicate."""


def nothing() -> None:
    """For a vote that leaves the queue: it is lost, like one that the network lost."""


class InboundPeer:
    """One connection that another member made."""

    def __init__(self, local: LocalPeer, peers: "InboundPeers", host: str) -> None:
        self.host = host
        self.greeting: Greeting | None = None
        self.channel = MemberConnection(clock=local.clock, on_data=self._on_data, on_end=self._on_end)
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it was let in or refused, or is gone."""
        self._local = local
        self._peers = peers
        self._is_proven = False

    def _on_data(self, channel: MemberConnection, data: bytes) -> None:
        if self.greeting is None:
            self._greet(channel, data)
            self._settle()
        elif (fault := self._receive(channel, data)) is not None:
            channel.refuse(fault)

    def _settle(self) -> None:
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _on_end(self, _channel: MemberConnection, ended: Ended) -> None:
        self._settle()
        self._local.orders.left(self.channel)
        if self.greeting is not None:
            self._peers.left(self)
            who = f"{self.greeting.node} at {self.host}"
        else:
            who = self.host
        if ended.reason in _SAID:  # the other reasons were reported where they were found
            self._local.refusals.refuse(who, ended.reason, f"{who} was refused: {_SAID[ended.reason]}")

    def _greet(self, channel: MemberConnection, data: bytes) -> None:
        match decode_greeting(data):
            case None | No():
                channel.refuse(Refused.MALFORMED)
            case OtherVersion(version):
                self._refuse(Refused.VERSION, self.host, other_version(self.host, version, PROTOCOL))
            case Greeting() as greeting:
                self._check(channel, greeting)

    def _check(self, channel: MemberConnection, greeting: Greeting) -> None:
        certified = certified_name(channel.transport)
        who, must_prove = f"{greeting.node} at {self.host}", greeting.node in self._peers.nodes
        live = "" if greeting.purpose is Purpose.ERRAND else self._peers.live_boot_id(greeting.node)
        match self._local.why_refused(greeting, certified, channel.transport, must_prove=must_prove, live=live):
            case None if self._peers.enter(self, greeting):
                self.greeting = greeting
                self._is_proven = self._local.credentials.is_node(channel.transport, certified)
                channel.say_data(encode_greeting(self._local.greeting()))
                self._peers.on_entered(greeting)
            case None:
                channel.refuse(Refused.TOO_MANY)
            case Refused.CLUSTER_ID if certified is not None:
                ours, theirs = self._local.options.cluster_id, certified.cluster_id
                found = f"cluster.clusterId {theirs!r} where this node has {ours!r}"
                fix = "make them the same, or give the other cluster a key of its own"
                self._refuse(Refused.CLUSTER_ID, who, f"{who} has the key of this cluster, but {found}: {fix}")
            case Refused.ITSELF:
                sentence = "a member's address leads back to this node: check cluster.memberAddress of the other nodes"
                self._refuse(Refused.ITSELF, self.host, sentence)
            case Refused.OWN_NAME:
                found = f"another node, at {self.host}, has this node's name {greeting.node!r}"
                sentence = f"{found}: give it its own node.nodeName, or stop it"
                self._local.duplicate.see(sentence)
                self._refuse(Refused.OWN_NAME, self.host, sentence)
            case Refused.TWIN:
                found = f"one at {self._peers.host_of(greeting.node)} and one at {self.host}"
                fix = "the second is refused: give it its own node.nodeName, or stop it"
                self._refuse(Refused.TWIN, who, f"two nodes are named {greeting.node!r}, {found}; {fix}")
            case Refused.UNPROVEN:
                channel.refuse(Refused.UNPROVEN, encode_no(No(Refused.UNPROVEN, PROTOCOL)))
            case reason:
                channel.refuse(reason)

    def _refuse(self, reason: Refused, who: str, sentence: str) -> None:
        self._local.refusals.refuse(who, reason, sentence)
        self.channel.refuse(reason, encode_no(No(reason, PROTOCOL)))

    def _receive(self, channel: MemberConnection, data: bytes) -> Refused | None:
        """Do what ``data`` says, or return what is wrong with it."""
        assert self.greeting is not None
        listener, speaker = self._local.listener, self.greeting.node
        is_errand = self.greeting.purpose is Purpose.ERRAND
        match decode(data):
            case VoteRequest() | Freeing() | Invitation() | CheckpointOffer() if not self._is_proven:
                return Refused.UNPROVEN
            case VoteRequest() as vote_request if not is_errand:
                if vote_request.candidacy.candidate != speaker:
                    return Refused.FORGED
                self._local.tell(listener.on_vote_request, vote_request, self._answer)
            case Freeing() | Invitation() as word:
                if word.candidacy.candidate != speaker:
                    return Refused.FORGED
                if isinstance(word, Freeing):
                    self._local.tell(listener.on_freeing, word)
                else:
                    self._local.tell(listener.on_invitation, word)
            case Ping(number):
                channel.say(Pong(number), dropped=nothing)
            case OrderOpen(number) if not is_errand:
                channel.say(self._local.orders.open(channel, speaker, number), dropped=nothing)
            case Order() as order if not is_errand:
                if (refused := self._local.orders.take(channel, self.greeting, order)) is not None:
                    channel.say(refused, dropped=nothing)
            case CheckpointOffer() as offer if not is_errand:
                self._local.checkpoints.take(channel, offer)
            case Unknown():
                pass  # of a newer release, which does without an answer
            case _:
                return Refused.MALFORMED
        return None

    def _answer(self, vote: Vote) -> None:
        assert vote.voter == self._local.options.node_name, "a node votes in its own name"
        self.channel.say(vote, dropped=nothing)


class InboundPeers:
    """All that are let in."""

    def __init__(self, on_entered: Callable[[Greeting], None]) -> None:
        self.on_entered = on_entered
        self.nodes: frozenset[str] = frozenset()
        """Members that are nodes: under such a name only a peer is heard that proves to be one."""
        self._by_name: dict[str, InboundPeer] = {}
        self._errands: list[InboundPeer] = []

    @property
    def all(self) -> list[InboundPeer]:
        return [*self._by_name.values(), *self._errands]

    @property
    def live(self) -> tuple[str, ...]:
        """Names that are connected and were heard lately."""
        return tuple(name for name in self._by_name if self.live_boot_id(name))

    def live_boot_id(self, name: str) -> str:
        """Return which life of ``name`` is connected and was heard lately; empty when none."""
        peer = self._by_name.get(name)
        if peer is None or peer.greeting is None or peer.channel.silent_looks >= LIVE_LOOKS:
            return ""
        return peer.greeting.boot_id

    def heard_at(self, name: str) -> Instant | None:
        """Return when ``name`` was last heard over a connection that it made and that stands."""
        peer = self._by_name.get(name)
        return None if peer is None else peer.channel.heard_at

    def host_of(self, name: str) -> str:
        return self._by_name[name].host

    def enter(self, peer: InboundPeer, greeting: Greeting) -> bool:
        """Let ``peer`` in, in place of one of its name; return whether there was room."""
        if greeting.purpose is Purpose.ERRAND:
            if len(self._errands) >= ERRANDS_MAX:
                return False
            self._errands.append(peer)
            return True
        before = self._by_name.pop(greeting.node, None)
        if before is not None:
            before.channel.drop()
        elif len(self._by_name) >= PEERS_MAX:
            return False
        self._by_name[greeting.node] = peer
        return True

    def left(self, peer: InboundPeer) -> None:
        if peer in self._errands:
            self._errands.remove(peer)
        elif peer.greeting is not None and self._by_name.get(peer.greeting.node) is peer:
            del self._by_name[peer.greeting.node]

    def look(self) -> None:
        """End connections over which nothing comes any more."""
        for peer in self.all:
            if not peer.channel.look():
                peer.channel.drop()


_SAID: Final = {
    Refused.FORGED: "it spoke in somebody else's name. Find out what runs there: it holds this cluster's key",
    Refused.UNPROVEN: "it says that it is a node, or asks for votes, and does not show that it holds the sealing key. "
    "If it is a node, copy auth.sealingKeyPath to it from another one; else find out what runs there: it holds this "
    "cluster's key",
    Refused.REPLAYED: "a message came twice or out of order. Find out what runs there: it holds this cluster's key",
    Refused.OVERSIZED: "a message is longer than any member sends. Find out what runs there",
    Refused.MALFORMED: "it sent something that is no message between members. Find out what runs there",
    Refused.TOO_MANY: "it made more connections or sent more messages than a member does. Find out what runs there",
    Refused.UNREAD: "it asks and does not read the answers, so the connection was closed. Look whether it is stuck",
    Refused.SLOW: "it did not finish its handshake and greeting in time",
    Refused.FOREIGN: "it does not hold the key of this cluster. If it is a member, copy auth.clusterKeyPath to it",
}
