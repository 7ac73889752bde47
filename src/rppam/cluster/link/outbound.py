"""One connection that this node made to another member, from its greeting to its end.

Decides whether it is the expected member that answers, that votes come from whom they name and for a ballot that is
open on this very connection, and which ballots surely get no answer any more. When there is a next connection decides
:mod:`rppam.cluster.link.peer`.
"""

import asyncio
from functools import partial
from typing import Final

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.link.codec import (
    NUMBER_MAX,
    PROTOCOL,
    Greeting,
    No,
    OrderAnswer,
    OrderRefused,
    OrderTicket,
    OtherVersion,
    Ping,
    Pong,
    Unknown,
    decode,
    decode_greeting,
    encode_greeting,
)
from rppam.cluster.link.connection import LOOKS_PER_PING, Ended, MemberConnection
from rppam.cluster.link.credentials import PeerName, peer_name
from rppam.cluster.link.inbound import InboundPeers, nothing
from rppam.cluster.link.local_peer import LocalPeer, other_version
from rppam.cluster.link.orders import GivenOrders
from rppam.cluster.link.rejections import Refused

OPEN_BALLOTS_MAX: Final = 1_024

_SAID: Final = {
    Refused.FORGED: "spoke in somebody else's name",
    Refused.UNPROVEN: "is a node by the list of members and does not show that it holds the sealing key: copy "
    "auth.sealingKeyPath to it from another node, or find out what runs there",
    Refused.REPLAYED: "sent a message twice or out of order",
    Refused.OVERSIZED: "sent a message that is longer than any member sends",
    Refused.MALFORMED: "sent something that is no message between members of this version",
    Refused.TOO_MANY: "sent more messages than a member does",
    Refused.UNREAD: "does not read what this node sends: look whether it is stuck",
}
_OUR_REFUSAL: Final = {
    Refused.VERSION: "it speaks version {version} of the member protocol, this node {own}: update the older one",
    Refused.UNPROVEN: "this node does not show that it holds the sealing key: copy auth.sealingKeyPath from there",
    Refused.CLUSTER_ID: "its cluster.clusterId is another one: make them the same",
    Refused.ITSELF: "its address leads back to this node: check that member's cluster.memberAddress",
    Refused.OWN_NAME: "it has this node's name as its own: give one of the two another node.nodeName, or stop it",
    Refused.TWIN: "another node with this node's name is connected to it: give one of the two another node.nodeName",
}
_STAYS: Final = {Refused.VERSION, Refused.CLUSTER_ID, Refused.UNPROVEN}
"""Reasons of the other side that do not pass by themselves, as a name does that the old self of a node still has."""


class OutboundPeer:
    """See the module."""

    def __init__(self, name: str, address: str, party: LocalPeer, guests: InboundPeers) -> None:
        self.who = f"{name} at {address}"
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the other side answered the greeting, or it is over."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_up = False
        """Greeted, and what is said now may arrive."""
        self.greeting: Greeting | None = None
        """What the other side said of itself, once it was believed."""
        self.fault = ""
        """Why it is over, in a sentence; empty when nobody knows."""
        self.is_told = False
        """Whether the fault was told already."""
        self.round_trip_us: int | None = None
        self.channel = MemberConnection(clock=party.clock, on_data=self._on_data, on_end=self._on_end)
        self.orders = GivenOrders(party.options, party.entropy, self.channel)
        self._name = name
        self._party = party
        self._guests = guests
        self._open_ballots: dict[int, None] = {}
        self._looks = party.entropy.below(LOOKS_PER_PING)  # not all members are pinged in one turn
        self._pings = 0
        self._pinged_at = party.clock.now()

    @property
    def place(self) -> tuple[str, int] | None:
        """Address and port at the other end; ``None`` while there is no connection."""
        transport = self.channel.transport
        found = None if transport is None else transport.get_extra_info("peername")
        return (str(found[0]), int(found[1])) if found else None

    def greet(self) -> None:
        """Say who this node is. The connection has been made.

        Not to another member than the expected one: it would take this for a second call of this node, in place of the
        one that it has.
        """
        certified = self._certified()
        if certified is not None and certified.node not in {self._name, self._party.options.node_name}:
            fix = f"check cluster.memberAddress of {self._name}"
            self._end(Refused.WRONG_NAME, f"at {self.who} a node named {certified.node!r} answers: {fix}")
            return
        self.channel.say_data(encode_greeting(self._party.greeting()))

    def send(self, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand ``message`` to the network, or put it in line; whether that was possible."""
        if not self.is_up:
            return False
        if not isinstance(message, VoteRequest):
            return self.channel.say(message)
        request = message.request
        if len(self._open_ballots) >= OPEN_BALLOTS_MAX:
            del self._open_ballots[next(iter(self._open_ballots))]
        self._open_ballots[request] = None
        return self.channel.say(message, dropped=partial(self._no_vote, request))

    def look(self) -> None:
        """Called every quarter of a second, less often with many members: end it in silence, or ask who is there."""
        if not self.is_up:
            return
        if not self.channel.look():
            self.fault = (
                f"nothing has come from {self.who} for 3 s: look whether that host runs and whether the network "
                "between the two works"
            )
            self.channel.drop()
            return
        self._looks += 1
        if self._looks % LOOKS_PER_PING == 0:
            self._pings = (self._pings + 1) % NUMBER_MAX
            self._pinged_at = self._party.clock.now()
            self.channel.say(Ping(self._pings), dropped=nothing)

    # --- what the channel calls ---------------------------------------------------------------------------------------

    def _on_data(self, channel: MemberConnection, data: bytes) -> None:
        if not self.is_up:
            self._greeting(data)
            return
        match decode(data):
            case Vote() as vote:
                self._vote(channel, vote)
            case Pong(number) if number == self._pings:
                self.round_trip_us = self._party.clock.now() - self._pinged_at
            case Pong() | Unknown():
                pass  # late, or of a newer release
            case OrderTicket() | OrderAnswer() | OrderRefused() as message:
                self.orders.heard(message)
            case _:
                channel.refuse(Refused.MALFORMED)

    def _on_end(self, _channel: MemberConnection, ended: Ended) -> None:
        self.is_up = False
        if ended.reason in _SAID:
            self._refuse(ended.reason, f"{self.who} {_SAID[ended.reason]}, so the connection was closed")
        for future in (self.greeted, self.over):
            if not future.done():
                future.set_result(None)
        for request in list(self._open_ballots):
            self._no_vote(request)
        self.orders.end()

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _vote(self, channel: MemberConnection, vote: Vote) -> None:
        if vote.voter != self._name:
            channel.refuse(Refused.FORGED)
        elif vote.request in self._open_ballots:
            del self._open_ballots[vote.request]
            self._party.tell(self._party.listener.on_vote, vote)
        else:
            sentence = f"{self.who} sent a vote that nobody asked for, or sent it twice; it was not counted"
            self._party.refusals.refuse(self._name, Refused.UNASKED, sentence)

    def _no_vote(self, request: int) -> None:
        """Told in a turn of its own: the caller may be in the middle of sending."""
        if self._open_ballots.pop(request, self) is None:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._party.tell, self._party.listener.on_no_vote, self._name, request)

    def _greeting(self, data: bytes) -> None:
        match decode_greeting(data):
            case None:
                self._end(Refused.MALFORMED, f"{self.who} answers with something that is no greeting of a member")
            case OtherVersion(version):
                self._end(Refused.VERSION, other_version(self.who, version, PROTOCOL))
            case No(reason, version):
                self._turned_away(reason, version)
            case Greeting() as greeting:
                self._check(greeting)

    def _turned_away(self, reason: str, version: int) -> None:
        """The other side refused this node: it counts there, and is told here."""
        known = _OUR_REFUSAL.get(Refused(reason)) if reason in set(Refused) else None
        why = known.format(version=version, own=PROTOCOL) if known else f"its reason: {reason}"
        self.fault = f"{self.who} does not let this node in: {why}"
        if reason in {Refused.TWIN, Refused.OWN_NAME}:
            self._party.saw_twin(self.fault)
        if reason == Refused.TWIN:
            self._party.refused_for_twin(self.fault)
        if reason in _STAYS:
            self.is_told = True
            self._party.refusals.tell(self._name, Refused(reason), self.fault)
        self.channel.drop()

    def _check(self, greeting: Greeting) -> None:
        certified = self._certified()
        options = self._party.options
        live = self._guests.live_boot_id(self._name)
        if certified is not None and certified.cluster_id != options.cluster_id:
            found = f"cluster.clusterId {certified.cluster_id!r} there and {options.cluster_id!r} here"
            fix = "make them the same, or give the other cluster a key of its own"
            self._end(Refused.CLUSTER_ID, f"{self.who} has the key of this cluster, but {found}: {fix}")
        elif certified != PeerName(greeting.cluster_id, greeting.node):
            self._end(Refused.FORGED, f"{self.who} {_SAID[Refused.FORGED]} in its greeting")
        elif self._name in self._guests.nodes and not self._party.credentials.is_node(
            self.channel.transport, certified
        ):
            self._end(Refused.UNPROVEN, f"{self.who} {_SAID[Refused.UNPROVEN]}")
        elif greeting.node == options.node_name:
            self._own_name(greeting)
        elif live not in {"", greeting.boot_id}:
            found = f"one answers at {self.who}, another is connected"
            fix = "give one of them its own node.nodeName, or stop it"
            self._end(Refused.TWIN, f"two nodes are named {self._name!r}, {found}: {fix}")
        else:
            self.is_up = self._party.was_let_in = True
            self.greeting = greeting
            self.greeted.set_result(None)

    def _certified(self) -> PeerName | None:
        """Whom the other side's certificate is for."""
        transport = self.channel.transport
        return None if transport is None else peer_name(transport.get_extra_info("peercert"))

    def _own_name(self, greeting: Greeting) -> None:
        if greeting.boot_id == self._party.options.boot_id:
            self._end(
                Refused.OWN_NAME,
                f"the address of {self.who} leads back to this node: check cluster.memberAddress of {self._name}",
            )
            return
        found = f"at {self.who} another node with this node's name {greeting.node!r} answers"
        self._end(Refused.OWN_NAME, f"{found}: give one of the two another node.nodeName, or stop it")
        self._party.saw_twin(self.fault)

    def _end(self, reason: Refused, sentence: str) -> None:
        """Refuse the other side's greeting."""
        self._refuse(reason, sentence)
        self.channel.drop()

    def _refuse(self, reason: Refused, sentence: str) -> None:
        self.fault, self.is_told = sentence, True
        self._party.refusals.refuse(self._name, reason, sentence)
