"""The other members as the node needs them: send without waiting, hear whatever arrives, and a file that keeps a word.

The link is authenticated and encrypted both ways, so whatever is heard comes from a holder of the cluster key that
belongs to this cluster. It may still come late or twice (over another connection), or never; what a message may do is
decided by the core alone.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from rppam.cluster.consensus.messages import Freeing, Invitation, PersistedVote, Vote, VoteRequest


class MemberListener(NamedTuple):
    """Whom to tell. Called in the node's loop, never from another thread."""

    on_ballot: Callable[[VoteRequest, Callable[[Vote], None]], None]
    """(ballot, how to answer it). The answer may be given later, or never; it goes over the same connection."""
    on_vote: Callable[[Vote], None]
    on_no_vote: Callable[[str, int], None]
    """(member, request): this ballot surely gets no answer."""
    on_freeing: Callable[[Freeing], None]
    on_invitation: Callable[[Invitation], None]


class PeerState(NamedTuple):
    """One other member as the link sees it, for people."""

    address: str
    """Where it is tried; empty when no address is known."""
    is_connected: bool
    reason: str
    """Empty while connected; else why not, and what to do."""
    heard_ms_ago: int | None
    round_trip_us: int | None
    api_url: str = ""
    """Where its REST API answers, as it said itself on the connection that stands; empty where none stands."""


class MemberLink(Protocol):
    """The direct connections to the other members."""

    async def start(self, listener: MemberListener) -> None:
        """Listen, and begin to connect in the background.

        Raises :class:`~rppam.cluster.errors.MemberPortInUse` when the port cannot be had.
        """
        ...

    async def stop(self) -> None:
        """Close everything, after what was sent has left or 100 ms have passed."""
        ...

    def know(self, addresses: Mapping[str, str]) -> None:
        """Where members can be reached, ``host:port`` by name; later knowledge replaces earlier, for each name."""
        ...

    def expect(self, members: Iterable[str], nodes: Iterable[str] = ()) -> None:
        """Keep connections to exactly these; others are closed. ``nodes``: those that are no witnesses."""
        ...

    def send(self, to: str, message: VoteRequest | Freeing | Invitation) -> bool:
        """Hand a message to the network at once; whether there was a connection to hand it to. Never blocks."""
        ...

    @property
    def addresses(self) -> Mapping[str, str]:
        """All addresses that are known, also those that members told themselves."""
        ...

    @property
    def peers(self) -> Mapping[str, PeerState]:
        """Every expected member."""
        ...

    @property
    def refused(self) -> Mapping[str, int]:
        """How many messages or connections were refused, by reason, since the start."""
        ...

    @property
    def complaints(self) -> tuple[str, ...]:
        """Who was refused within the last minute and why, in sentences for health; the latest last."""
        ...

    @property
    def twin(self) -> str:
        """A sentence while another node with this node's name is seen; else empty."""
        ...

    @property
    def displaced(self) -> str:
        """A sentence while members refuse this node for another of its name, and none has ever let it in; else empty.

        Then this process is the newcomer of the two.
        """
        ...

    @property
    def callers(self) -> tuple[str, ...]:
        """Names of those who are connected to this node and were heard just now: members, and who asks to be one."""
        ...


class PromiseFile(Protocol):
    """What a member keeps over a restart. All calls may block for as long as the disk does."""

    def load(self) -> PersistedVote | None:
        """What was kept; ``None`` when there is no file.

        Raises :class:`~rppam.cluster.errors.PromiseFileBroken` for one that cannot be understood.
        """
        ...

    def save(self, kept: PersistedVote) -> None:
        """Replace the file; returns when the disk has it.

        Raises :class:`~rppam.cluster.errors.PromiseFileUnwritable`.
        """
        ...

    def try_out(self, kept: PersistedVote) -> None:
        """Do beside the file all that ``save`` does, and leave nothing behind.

        Raises :class:`~rppam.cluster.errors.PromiseFileUnwritable`.
        """
        ...


class AddressBook(Protocol):
    """Where members were found before, for a start while the store is away. Both calls may block."""

    def load(self) -> Mapping[str, str]:
        """``host:port`` by name; empty when nothing is known. Raises nothing."""
        ...

    def save(self, addresses: Mapping[str, str]) -> None:
        """Replace what is known. Raises :class:`~rppam.cluster.errors.PromiseFileUnwritable`."""
        ...


class MemberWays(NamedTuple):
    """All that a node needs to be a member that votes."""

    link: MemberLink
    promises: PromiseFile
    book: AddressBook
