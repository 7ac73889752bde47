"""What other members ask: the connections that they made to this node.

Decides who is let in (a certificate of this cluster, the same version and cluster id, a name that nobody else has),
and that everybody speaks in his own name: a ballot or a release in another's name is forged. Newcomers that are no
members yet are let in; whether a ballot counts decides the core. One connection per name: a second one of the same
life replaces the first; one of another life is refused while the first was heard of within two seconds, since then
there are two nodes with one name.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.link.codec import (
    PROTOCOL,
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
from rppam.cluster.link.credentials import PeerName, peer_name
from rppam.cluster.link.local_peer import LocalPeer, other_version
from rppam.cluster.link.rejections import Refused
from rppam.kernel.instant import Instant

GUESTS_MAX: Final = 256
ERRANDS_MAX: Final = 32
LIVE_LOOKS: Final = 8
"""Whoever was heard of within so many looks (2 s) is alive: another life of the same name is a twin."""


def nothing() -> None:
    """For a vote that leaves the line: it is lost, like one that the network lost."""


class InboundPeer:
    """One connection that another member made."""

    def __init__(self, party: LocalPeer, guests: "InboundPeers", host: str) -> None:
        self.host = host
        self.greeting: Greeting | None = None
        self.channel = MemberConnection(clock=party.clock, on_data=self._on_data, on_end=self._on_end)
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it was let in or refused, or is gone."""
        self._party = party
        self._guests = guests
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
        self._party.orders.left(self.channel)
        if self.greeting is not None:
            self._guests.left(self)
            who = f"{self.greeting.node} at {self.host}"
        else:
            who = self.host
        if ended.reason is not None and ended.reason not in _TOLD_ALREADY:
            self._party.refusals.refuse(who, ended.reason, f"{who} was refused: {_SAID[ended.reason]}")

    def _greet(self, channel: MemberConnection, data: bytes) -> None:
        match decode_greeting(data):
            case None | No():
                channel.refuse(Refused.MALFORMED)
            case OtherVersion(version):
                self._refuse(Refused.VERSION, self.host, other_version(self.host, version, PROTOCOL))
            case Greeting() as greeting:
                self._check(channel, greeting)

    def _check(self, channel: MemberConnection, greeting: Greeting) -> None:
        assert channel.transport is not None
        certified = peer_name(channel.transport.get_extra_info("peercert"))
        options = self._party.options
        who = f"{greeting.node} at {self.host}"
        if certified is not None and certified.cluster_id != options.cluster_id:
            self._refuse(
                Refused.CLUSTER_ID,
                who,
                f"{who} has the key of this cluster, but cluster.clusterId {certified.cluster_id!r} where this node "
                f"has {options.cluster_id!r}: make them the same, or give the other cluster a key of its own",
            )
        elif certified != PeerName(greeting.cluster_id, greeting.node):
            channel.refuse(Refused.FORGED)
        elif greeting.node in self._guests.nodes and not self._is_node(certified):
            channel.refuse(Refused.UNPROVEN, encode_no(No(Refused.UNPROVEN, PROTOCOL)))
        elif greeting.node == options.node_name:
            self._own_name(greeting)
        elif (refusal := self._guests.twin_of(self, greeting)) is not None:
            self._refuse(Refused.TWIN, who, refusal)
        elif not self._guests.enter(self, greeting):
            channel.refuse(Refused.TOO_MANY)
        else:
            self.greeting, self._is_proven = greeting, self._is_node(certified)
            channel.say_data(encode_greeting(self._party.greeting()))
            self._guests.on_entered(greeting)

    def _is_node(self, certified: PeerName | None) -> bool:
        return certified is not None and self._party.credentials.is_node(self.channel.transport, certified)

    def _own_name(self, greeting: Greeting) -> None:
        if greeting.boot_id == self._party.options.boot_id:
            sentence = "a member's address leads back to this node: check cluster.memberAddress of the other nodes"
            self._refuse(Refused.ITSELF, self.host, sentence)
            return
        sentence = (
            f"another node, at {self.host}, has this node's name {greeting.node!r}: give it its own node.nodeName, or "
            "stop it"
        )
        self._party.saw_twin(sentence)
        self._refuse(Refused.OWN_NAME, self.host, sentence)

    def _refuse(self, reason: Refused, who: str, sentence: str) -> None:
        self._party.refusals.refuse(who, reason, sentence)
        self.channel.refuse(reason, encode_no(No(reason, PROTOCOL)))

    def _receive(self, channel: MemberConnection, data: bytes) -> Refused | None:
        """Do what ``data`` says, or say what is wrong with it."""
        assert self.greeting is not None
        listener, speaker = self._party.listener, self.greeting.node
        is_errand = self.greeting.purpose is Purpose.ERRAND
        match decode(data):
            case VoteRequest() | Freeing() | Invitation() if not self._is_proven:
                return Refused.UNPROVEN
            case VoteRequest() as ballot if not is_errand:
                if ballot.claim.candidate != speaker:
                    return Refused.FORGED
                self._party.tell(listener.on_ballot, ballot, self._answer)
            case Freeing() | Invitation() as word:
                if word.claim.candidate != speaker:
                    return Refused.FORGED
                if isinstance(word, Freeing):
                    self._party.tell(listener.on_freeing, word)
                else:
                    self._party.tell(listener.on_invitation, word)
            case Ping(number):
                channel.say(Pong(number), dropped=nothing)
            case OrderOpen(number) if not is_errand:
                channel.say(self._party.orders.open(channel, speaker, number), dropped=nothing)
            case Order() as order if not is_errand:
                if (refused := self._party.orders.take(channel, self.greeting, order)) is not None:
                    channel.say(refused, dropped=nothing)
            case Unknown():
                pass  # of a newer release, which does without an answer
            case _:
                return Refused.MALFORMED
        return None

    def _answer(self, vote: Vote) -> None:
        assert vote.voter == self._party.options.node_name, "a node votes in its own name"
        self.channel.say(vote, dropped=nothing)


class InboundPeers:
    """All who are let in."""

    def __init__(self, on_entered: Callable[[Greeting], None]) -> None:
        self.on_entered = on_entered
        self.nodes: frozenset[str] = frozenset()
        """Members that are nodes: nobody is heard under such a name who does not prove to be one."""
        self._by_name: dict[str, InboundPeer] = {}
        self._errands: list[InboundPeer] = []

    @property
    def all(self) -> list[InboundPeer]:
        """A copy."""
        return [*self._by_name.values(), *self._errands]

    @property
    def live(self) -> tuple[str, ...]:
        """Names of those who are connected and were heard of lately."""
        return tuple(name for name in self._by_name if self.live_boot_id(name))

    def live_boot_id(self, name: str) -> str:
        """Which life of ``name`` is connected and was heard of lately; empty when none."""
        guest = self._by_name.get(name)
        if guest is None or guest.greeting is None or guest.channel.silent_looks >= LIVE_LOOKS:
            return ""
        return guest.greeting.boot_id

    def heard_at(self, name: str) -> Instant | None:
        """When ``name`` was heard of last over a connection that it made and that stands."""
        guest = self._by_name.get(name)
        return None if guest is None else guest.channel.heard_at

    def twin_of(self, guest: InboundPeer, greeting: Greeting) -> str | None:
        """Why ``guest`` is refused, when another life of its name is here."""
        live = self.live_boot_id(greeting.node)
        if greeting.purpose is Purpose.ERRAND or live in {"", greeting.boot_id}:
            return None
        return (
            f"two nodes are named {greeting.node!r}, one at {self._by_name[greeting.node].host} and one at "
            f"{guest.host}; the second is refused: give it its own node.nodeName, or stop it"
        )

    def enter(self, guest: InboundPeer, greeting: Greeting) -> bool:
        """Let ``guest`` in, in place of one of its name; whether there was room."""
        if greeting.purpose is Purpose.ERRAND:
            if len(self._errands) >= ERRANDS_MAX:
                return False
            self._errands.append(guest)
            return True
        before = self._by_name.pop(greeting.node, None)
        if before is not None:
            before.channel.drop()
        elif len(self._by_name) >= GUESTS_MAX:
            return False
        self._by_name[greeting.node] = guest
        return True

    def left(self, guest: InboundPeer) -> None:
        """``guest`` is no more."""
        if guest in self._errands:
            self._errands.remove(guest)
        elif guest.greeting is not None and self._by_name.get(guest.greeting.node) is guest:
            del self._by_name[guest.greeting.node]

    def look(self) -> None:
        """End connections over which nothing comes any more."""
        for guest in self.all:
            if not guest.channel.look():
                guest.channel.drop()


_TOLD_ALREADY: Final = {Refused.VERSION, Refused.CLUSTER_ID, Refused.ITSELF, Refused.OWN_NAME, Refused.TWIN}
"""Reasons whose sentence was told where they were found."""
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
