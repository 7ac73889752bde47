"""Another member as the one to ask: connected to, and connected to again.

A connection decides whether it is the expected member that answers, that votes come from the member they name and for a
request that is open on this very connection, and which requests surely get no answer any more. The peer decides when
to try: each has a task, a time limit and a back-off of its own, with a cap of one second, so a member that does not
answer costs nobody else anything, and it is tried at once when it is heard of or found elsewhere.
"""

import asyncio
import logging
from functools import partial
from typing import Final

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.link.checkpoints import OfferedCheckpoints
from rppam.cluster.link.codec import (
    NUMBER_MAX,
    PROTOCOL,
    CheckpointAnswer,
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
from rppam.cluster.link.connect import Dialer, NotReachedError
from rppam.cluster.link.connection import LOOKS_PER_PING, Ended, MemberConnection
from rppam.cluster.link.credentials import certified_name
from rppam.cluster.link.inbound import InboundPeers, nothing
from rppam.cluster.link.local_peer import LocalPeer, PeerState, other_version
from rppam.cluster.link.orders import GivenOrders
from rppam.cluster.link.rejections import Refused, ms_between
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S, Instant
from rppam.redis.reconnect import Backoff

_log: Final = logging.getLogger("rppam.members")

OPEN_BALLOTS_MAX: Final = 1_024
CONNECT_S: Final = 3.0
BACKOFF_BASE_MS: Final = 50
BACKOFF_CAP_MS: Final = 1_000
_PAUSE_MIN_S: Final = 0.02
_SILENCE_S: Final = 60
_LOGGED_MAX: Final = 16

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


class _Pings:
    """One question at a time whether the other side is there, and how long the last answer took."""

    def __init__(self, clock: Clock, first: int) -> None:
        """``first``: how many looks are over already, so that not all members are pinged in one turn."""
        self.round_trip_us: int | None = None
        self._clock, self._looks = clock, first
        self._number, self._at = 0, clock.now()

    def due(self) -> Ping | None:
        """What to say at this look, if anything."""
        self._looks += 1
        if self._looks % LOOKS_PER_PING:
            return None
        self._number, self._at = (self._number + 1) % NUMBER_MAX, self._clock.now()
        return Ping(self._number)

    def heard(self, number: int) -> None:
        """An answer came; one that is late says nothing."""
        if number == self._number:
            self.round_trip_us = self._clock.now() - self._at


class OutboundConnection:
    """One connection that this node made to another member, from its greeting to its end."""

    def __init__(self, name: str, address: str, local: LocalPeer, inbound: InboundPeers) -> None:
        self.who = f"{name} at {address}"
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the other side answered the greeting, or it is over."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeting: Greeting | None = None
        """What the other side said of itself, once it was believed."""
        self.fault = ""
        """Why it is over, in a sentence; empty when nobody knows."""
        self.is_logged = False
        """Whether the fault was logged already."""
        self.channel = MemberConnection(clock=local.clock, on_data=self._on_data, on_end=self._on_end)
        self.orders = GivenOrders(local.options, local.entropy, self.channel)
        self.checkpoints = OfferedCheckpoints(self.channel)
        self._name = name
        self._local = local
        self._inbound = inbound
        self._open_requests: dict[int, None] = {}
        self.pings = _Pings(local.clock, local.entropy.below(LOOKS_PER_PING))

    @property
    def is_up(self) -> bool:
        """Greeted, and what is said now may arrive."""
        return self.greeting is not None and self.channel.ended is None

    @property
    def place(self) -> tuple[str, int] | None:
        """Address and port at the other end; ``None`` while there is no connection."""
        transport = self.channel.transport
        found = None if transport is None else transport.get_extra_info("peername")
        return (str(found[0]), int(found[1])) if found else None

    def greet(self) -> None:
        """Say who this node is, once the connection has been made.

        Not to another member than the expected one, which would take this for a second connection of this node, in
        place of the one that it has.
        """
        certified = certified_name(self.channel.transport)
        if certified is not None and certified.node not in {self._name, self._local.options.node_name}:
            fix = f"check cluster.memberAddress of {self._name}"
            self._end(Refused.WRONG_NAME, f"at {self.who} a node named {certified.node!r} answers: {fix}")
            return
        self.channel.say_data(encode_greeting(self._local.greeting()))

    def send(self, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand ``message`` to the network, or queue it; return whether that was possible."""
        if not self.is_up:
            return False
        if not isinstance(message, VoteRequest):
            return self.channel.say(message)
        request = message.request
        if len(self._open_requests) >= OPEN_BALLOTS_MAX:
            del self._open_requests[next(iter(self._open_requests))]
        self._open_requests[request] = None
        return self.channel.say(message, dropped=partial(self._no_vote, request))

    def look(self) -> None:
        """End it where it is silent, and ping now and then."""
        if not self.is_up:
            return
        if not self.channel.look():
            self.fault = (
                f"nothing has come from {self.who} for 3 s: look whether that host runs and whether the network "
                "between the two works"
            )
            self.channel.drop()
            return
        if (ping := self.pings.due()) is not None:
            self.channel.say(ping, dropped=nothing)

    # --- what the channel calls ---------------------------------------------------------------------------------------

    def _on_data(self, channel: MemberConnection, data: bytes) -> None:
        if not self.is_up:
            self._greeted(data)
            return
        match decode(data):
            case Vote() as vote:
                self._vote(channel, vote)
            case Pong(number):
                self.pings.heard(number)
            case Unknown():
                pass  # of a newer release
            case OrderTicket() | OrderAnswer() | OrderRefused() as message:
                self.orders.heard(message)
            case CheckpointAnswer() as answer:
                self.checkpoints.heard(answer)
            case _:
                channel.refuse(Refused.MALFORMED)

    def _on_end(self, _channel: MemberConnection, ended: Ended) -> None:
        if ended.reason in _SAID:
            self._refuse(ended.reason, f"{self.who} {_SAID[ended.reason]}, so the connection was closed")
        for future in (self.greeted, self.over):
            if not future.done():
                future.set_result(None)
        for request in list(self._open_requests):
            self._no_vote(request)
        self.orders.end()

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _vote(self, channel: MemberConnection, vote: Vote) -> None:
        if vote.voter != self._name:
            channel.refuse(Refused.FORGED)
        elif vote.request in self._open_requests:
            del self._open_requests[vote.request]
            self._local.tell(self._local.listener.on_vote, vote)
        else:
            sentence = f"{self.who} sent a vote that nobody asked for, or sent it twice; it was not counted"
            self._local.refusals.refuse(self._name, Refused.UNASKED, sentence)

    def _no_vote(self, request: int) -> None:
        """Report it in a turn of its own: the caller may be in the middle of sending."""
        if self._open_requests.pop(request, self) is None:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._local.tell, self._local.listener.on_no_vote, self._name, request)

    def _greeted(self, data: bytes) -> None:
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
        """The other side refused this node: it counts there, and is reported here."""
        known = _OUR_REFUSAL.get(Refused(reason)) if reason in set(Refused) else None
        why = known.format(version=version, own=PROTOCOL) if known else f"its reason: {reason}"
        self.fault = f"{self.who} does not let this node in: {why}"
        if reason in {Refused.TWIN, Refused.OWN_NAME}:
            self._local.duplicate.see(self.fault)
        if reason == Refused.TWIN:
            self._local.displacing.see(self.fault)
        if reason in _STAYS:
            self.is_logged = True
            self._local.refusals.tell(self._name, Refused(reason), self.fault)
        self.channel.drop()

    def _check(self, greeting: Greeting) -> None:
        transport, options = self.channel.transport, self._local.options
        certified = certified_name(transport)
        live, must_prove = self._inbound.live_boot_id(self._name), self._name in self._inbound.nodes
        match self._local.why_refused(greeting, certified, transport, must_prove=must_prove, live=live):
            case None:
                self._local.was_let_in = True
                self.greeting = greeting
                self.greeted.set_result(None)
            case Refused.CLUSTER_ID if certified is not None:
                found = f"cluster.clusterId {certified.cluster_id!r} there and {options.cluster_id!r} here"
                fix = "make them the same, or give the other cluster a key of its own"
                self._end(Refused.CLUSTER_ID, f"{self.who} has the key of this cluster, but {found}: {fix}")
            case Refused.FORGED:
                self._end(Refused.FORGED, f"{self.who} {_SAID[Refused.FORGED]} in its greeting")
            case Refused.ITSELF:
                fix = f"check cluster.memberAddress of {self._name}"
                self._end(Refused.OWN_NAME, f"the address of {self.who} leads back to this node: {fix}")
            case Refused.OWN_NAME:
                found = f"at {self.who} another node with this node's name {greeting.node!r} answers"
                self._end(Refused.OWN_NAME, f"{found}: give one of the two another node.nodeName, or stop it")
                self._local.duplicate.see(self.fault)
            case Refused.TWIN:
                found = f"one answers at {self.who}, another is connected"
                fix = "give one of them its own node.nodeName, or stop it"
                self._end(Refused.TWIN, f"two nodes are named {self._name!r}, {found}: {fix}")
            case reason:
                self._end(reason, f"{self.who} {_SAID[reason]}")

    def _end(self, reason: Refused, sentence: str) -> None:
        """Refuse the other side's greeting."""
        self._refuse(reason, sentence)
        self.channel.drop()

    def _refuse(self, reason: Refused, sentence: str) -> None:
        self.fault, self.is_logged = sentence, True
        self._local.refusals.refuse(self._name, reason, sentence)


class OutboundPeer:
    """See the module. Runs as one task."""

    def __init__(self, name: str, address: str, local: LocalPeer, inbound: InboundPeers, dialer: Dialer) -> None:
        self.name = name
        self.address = address
        self.place: tuple[str, int] | None = None
        """Address and port at the other end of the connection that stands, or stood last; ``None`` before any."""
        self.connection: OutboundConnection | None = None
        """That which stands, or is being made."""
        self._local = local
        self._inbound = inbound
        self._dialer = dialer
        self._reason = "not tried yet"
        self._wake = asyncio.Event()
        self._logged: dict[str, Instant] = {}
        self._heard_at: Instant | None = None
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"member {name}")

    @property
    def state(self) -> PeerState:
        up = self.connection if self.connection is not None and self.connection.is_up else None
        if up is not None:
            self._heard_at = up.channel.heard_at
        heard = [at for at in (self._heard_at, self._inbound.heard_at(self.name)) if at is not None]
        return PeerState(
            address=self.address,
            is_connected=up is not None,
            reason="" if up is not None else self._reason,
            heard_ms_ago=ms_between(max(heard), self._local.clock.now()) if heard else None,
            round_trip_us=None if up is None else up.pings.round_trip_us,
            api_url=up.greeting.url if up is not None and up.greeting is not None else "",
        )

    def move(self, address: str) -> None:
        """Find it at ``address`` from now on. A connection elsewhere stays for as long as it works."""
        if address != self.address:
            self.address = address
            self._wake.set()

    def seen(self) -> None:
        """It made a connection to this node: a good time to try."""
        self._wake.set()

    def end(self) -> None:
        """Close the connection once what was said has left, and make no other."""
        if self.connection is not None:
            self.connection.channel.finish()
        self.task.cancel()

    async def _run(self) -> None:
        backoff = Backoff(self._local.entropy, base_ms=BACKOFF_BASE_MS, cap_ms=BACKOFF_CAP_MS)
        while True:
            self._wake.clear()
            if not self.address:
                self._reason = (
                    f"no address of {self.name} is known yet: it tells it in Redis, or when it connects; look whether "
                    "it runs"
                )
                await self._wake.wait()
                continue
            try:
                await self._connect(backoff)
            except Exception:  # noqa: BLE001 - logged whole; this task must not end, or the member is lost for good
                _log.exception("The connection to member %s failed in a way that nobody foresaw.", self.name)
                self._reason = "a fault of this node, which its log tells"
            finally:
                if self.connection is not None:
                    self.connection.channel.drop()
            await self._pause(backoff.next_ms() / 1000)

    async def _connect(self, backoff: Backoff) -> None:
        """Make one connection, and wait for its end."""
        if self._local.is_held:
            self._failed(f"a failover test keeps this node from {self.name} for a while; it ends by itself")
            return
        self.connection = made = OutboundConnection(self.name, self.address, self._local, self._inbound)
        started_at = self._local.clock.now()
        try:
            await self._dialer.dial(self.name, self.address, made.channel, timeout_s=CONNECT_S)
            self._local.refusals.is_over(self.name, Refused.FOREIGN)
            made.greet()
            async with asyncio.timeout(CONNECT_S):
                await made.greeted
        except NotReachedError as error:
            if error.is_foreign:
                self._local.refusals.refuse(self.name, Refused.FOREIGN, str(error))
            self._failed(str(error), is_logged=error.is_foreign)
            return
        except TimeoutError:
            self._failed(f"{made.who} took the connection and did not greet in time: look whether it is stuck")
            return
        if made.is_up:
            self._reason = ""
            self.place = made.place or self.place
            self._report(logging.INFO, f"connected to member {made.who}")
            await made.over
            self._heard_at = made.channel.heard_at
            backoff.succeeded(ms_between(started_at, self._local.clock.now()))
        self._failed(made.fault or f"{made.who} hung up: it restarts, or its log says why", is_logged=made.is_logged)

    def _failed(self, sentence: str, *, is_logged: bool = False) -> None:
        if not is_logged:
            self._report(logging.WARNING, sentence)
        self._reason = sentence

    def _report(self, level: int, sentence: str) -> None:
        """Log each sentence once a minute, however often a connection comes and goes."""
        now = self._local.clock.now()
        logged_at = self._logged.get(sentence)
        if logged_at is not None and now - logged_at < _SILENCE_S * US_PER_S:
            return
        if len(self._logged) >= _LOGGED_MAX:
            del self._logged[next(iter(self._logged))]
        self._logged[sentence] = now
        _log.log(level, "%s", sentence)

    async def _pause(self, pause_s: float) -> None:
        """Wait for the back-off, which ends early when there is news of the member, but is never nothing."""
        await asyncio.sleep(_PAUSE_MIN_S)
        try:
            async with asyncio.timeout(pause_s):
                await self._wake.wait()
        except TimeoutError:
            return
