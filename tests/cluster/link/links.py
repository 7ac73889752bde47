"""Member links on the loopback, and a stranger with a socket: what the tests of the link are made of.

Nothing here needs the core: a :class:`Node` answers every vote request by itself and writes down what it hears.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rppam.cluster.consensus.membership import Membership, QuorumPolicy, VoterSet, founding
from rppam.cluster.consensus.messages import (
    Candidacy,
    Freeing,
    Invitation,
    Readiness,
    Refusal,
    Vote,
    VoteRequest,
    VoteRequestKind,
)
from rppam.cluster.link.codec import Greeting, Purpose, encode_greeting
from rppam.cluster.link.connection import FrameReader, FrameWriter
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.link.local_peer import MemberListener, MemberOptions
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy, fresh_boot_id

KEY = Secret("5b1e90aa" * 8)
OTHER_KEY = Secret("00c0ffee" * 8)
CLUSTER = "cluster-001"
LINEAGE = "0123456789abcdef"
CLOCK = SystemClock()
CLAIM = Candidacy("node2", "41aa0b2c3d4e5f60", 9)


def membership_of(*names: str) -> Membership:
    """A founding membership."""
    return founding(LINEAGE, VoterSet.of(names, QuorumPolicy.MAJORITY))


THREE = membership_of("node1", "node2", "node3")


@dataclass(slots=True)
class Node:
    """One link, and everything that it told."""

    link: TlsMemberLink
    name: str
    boot_id: str
    vote_requests: list[VoteRequest] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    no_votes: list[tuple[str, int]] = field(default_factory=list)
    freeings: list[Freeing] = field(default_factory=list)
    invitations: list[Invitation] = field(default_factory=list)
    on_vote_request: Callable[[VoteRequest, Callable[[Vote], None]], None] | None = None
    """In place of granting at once."""
    on_vote: Callable[[Vote], None] | None = None
    requests: int = 0

    @property
    def listener(self) -> MemberListener:
        """Writes down, and grants."""
        return MemberListener(
            on_vote_request=self._vote_request,
            on_vote=self._vote,
            on_no_vote=lambda member, request: self.no_votes.append((member, request)),
            on_freeing=self.freeings.append,
            on_invitation=self.invitations.append,
        )

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.link.port}"

    def vote_request(self, *, candidate: str | None = None, membership: Membership = THREE) -> VoteRequest:
        """The next one of this node."""
        self.requests += 1
        candidacy = Candidacy(candidate or self.name, self.boot_id, 5)
        return VoteRequest(VoteRequestKind.RENEW, self.requests, candidacy, membership, CLOCK.now())

    def ask(self, to: str) -> int | None:
        """Send a vote_request; its number, or ``None`` when there is no connection."""
        vote_request = self.vote_request()
        return vote_request.request if self.link.send(to, vote_request) else None

    def vote_for(self, asked: VoteRequest, *, voter: str | None = None) -> Vote:
        """Granted."""
        epoch, version, candidate = asked.candidacy.epoch, asked.membership.version, asked.candidacy.candidate
        return Vote(
            asked.kind, voter or self.name, self.boot_id, asked.request, epoch, True, Refusal.NONE,
            epoch, version, None, candidate, CLOCK.now(), Readiness.READY,
        )  # fmt: skip

    def _vote_request(self, vote_request: VoteRequest, answer: Callable[[Vote], None]) -> None:
        self.vote_requests.append(vote_request)
        if self.on_vote_request is not None:
            self.on_vote_request(vote_request, answer)
        else:
            answer(self.vote_for(vote_request))

    def _vote(self, vote: Vote) -> None:
        self.votes.append(vote)
        if self.on_vote is not None:
            self.on_vote(vote)


def make_node(
    name: str, *, key: Secret = KEY, cluster_id: str = CLUSTER, port: int = 0, boot_id: str | None = None,
    advertised: str = "",
) -> Node:  # fmt: skip
    """A node that is not started."""
    boot_id = boot_id or fresh_boot_id()
    options = MemberOptions(
        node_name=name, boot_id=boot_id, cluster_id=cluster_id, cluster_key=key, host="127.0.0.1", port=port,
        advertised=advertised,
    )  # fmt: skip
    return Node(TlsMemberLink(options, clock=CLOCK, entropy=SystemEntropy()), name, boot_id)


def introduce(*nodes: Node) -> None:
    """Let all know and expect each other."""
    for node in nodes:
        node.link.know({other.name: other.address for other in nodes if other is not node})
        node.link.expect([other.name for other in nodes])


async def start(*nodes: Node) -> None:
    """Start them, without introducing them."""
    for node in nodes:
        await node.link.start(node.listener)


@asynccontextmanager
async def running(*nodes: Node) -> AsyncIterator[None]:
    """Started and introduced; stopped at the end."""
    try:
        await start(*nodes)
        introduce(*nodes)
        yield
    finally:
        await asyncio.gather(*(node.link.stop() for node in nodes))


async def eventually(holds: Callable[[], object], *, within_s: float = 10, told: Callable[[], object] = str) -> None:
    """Wait until it holds; fails with what ``told`` says."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while not holds():
        assert loop.time() < until, f"it does not hold after {within_s} s; {told()}"
        await asyncio.sleep(0.005)


def are_connected(nodes: Sequence[Node]) -> bool:
    """Each with each other, both ways."""
    return all(
        len(node.link.peers) == len(nodes) - 1 and all(peer.is_connected for peer in node.link.peers.values())
        for node in nodes
    )


async def connected(*nodes: Node) -> None:
    """Wait until all are connected."""
    await eventually(lambda: are_connected(nodes), told=lambda: [dict(node.link.peers) for node in nodes])


@dataclass(slots=True)
class Stranger:
    """A raw client: says whatever it likes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: FrameWriter = field(default_factory=FrameWriter)
    read: FrameReader = field(default_factory=FrameReader)
    heard: list[bytes] = field(default_factory=list)

    def say(self, data: bytes) -> None:
        """One right frame."""
        self.writer.write(self.frames.pack(data))

    def raw(self, data: bytes) -> None:
        """Any bytes."""
        self.writer.write(data)

    async def hear(self, *, within_s: float = 5) -> bytes | None:
        """The next message, or ``None`` when the other side hung up."""
        try:
            async with asyncio.timeout(within_s):
                while not self.heard:
                    data = await self.reader.read(65536)
                    if not data:
                        return None
                    self.heard += self.read.feed(data)
        except (ConnectionError, ssl.SSLError):
            return None
        return self.heard.pop(0)

    async def is_hung_up_on(self, *, within_s: float = 5) -> bool:
        """Whether the other side ends the connection; everything before that is thrown away."""
        while await self.hear(within_s=within_s) is not None:
            pass
        return True


@asynccontextmanager
async def stranger(
    node: Node, name: str, *, key: Secret = KEY, cluster_id: str = CLUSTER, greeting: bytes | None = None,
    purpose: Purpose = Purpose.LINK, boot_id: str = "41aa0b2c3d4e5f60", small_buffer: bool = False,
    sealing: tuple[Secret, ...] = (),
) -> AsyncIterator[Stranger]:  # fmt: skip
    """A client with a certificate for ``name``, greeted unless ``greeting`` is empty."""
    credentials = Credentials(key, cluster_id=cluster_id, node_name=name, sealing=sealing)
    plug = socket.create_connection(("127.0.0.1", node.link.port), timeout=5)
    if small_buffer:
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader, writer = await asyncio.open_connection(sock=plug, ssl=credentials.client, server_hostname=name, limit=1024)
    guest = Stranger(reader, writer)
    try:
        if greeting is None:
            greeting = encode_greeting(Greeting(purpose, cluster_id, name, boot_id, "0" * 16, ""))
        if greeting:
            guest.say(greeting)
        yield guest
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


class Impostor:
    """A server with a certificate, for links that connect to it; what it does after the handshake is up to the test."""

    def __init__(self, name: str, *, key: Secret = KEY, cluster_id: str = CLUSTER) -> None:
        self.name = name
        self.cluster_id = cluster_id
        self.boot_id = fresh_boot_id()
        self.callers: list[Stranger] = []
        self._credentials = Credentials(key, cluster_id=cluster_id, node_name=name)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def greeting(self) -> bytes:
        """A right one."""
        return encode_greeting(Greeting(Purpose.LINK, self.cluster_id, self.name, self.boot_id, "0" * 16, ""))

    @asynccontextmanager
    async def open(self, *, greets: bytes | None = None) -> AsyncIterator["Impostor"]:
        """Listen; ``greets`` is said in answer to every greeting, the right one unless given, nothing when empty."""

        async def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            caller = Stranger(reader, writer)
            if greets is None or greets:
                await caller.hear()
                caller.say(self.greeting if greets is None else greets)
            self.callers.append(caller)

        self._server = await asyncio.start_server(called, "127.0.0.1", 0, ssl=self._credentials.server, limit=1024)
        try:
            yield self
        finally:
            self._server.close()
            for caller in self.callers:
                caller.writer.transport.abort()
            await asyncio.sleep(0.01)


async def is_unharmed(node: Node, friend: Node) -> None:
    """Both still talk."""
    await eventually(lambda: node.link.peers[friend.name].is_connected and friend.link.peers[node.name].is_connected)
    so_far = len(friend.votes)
    assert friend.ask(node.name) is not None
    await eventually(lambda: len(friend.votes) == so_far + 1)
