"""This node as its side of every connection sees it: who it is, what it shows, and who listens to it.

The link is authenticated and encrypted both ways, so what is heard comes from a holder of the cluster key. It may still
come late, twice (over another connection) or never; the core alone decides what a message may do.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, ParamSpec

from rppam.cluster.consensus.messages import Freeing, Invitation, Vote, VoteRequest
from rppam.cluster.link.codec import Greeting, Purpose, sayable_url
from rppam.cluster.link.credentials import Credentials, PeerName
from rppam.cluster.link.rejections import Refused, Rejections
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant
from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from rppam.cluster.link.checkpoints import TakenCheckpoints
    from rppam.cluster.link.orders import TakenOrders

P = ParamSpec("P")

DUPLICATE_US: Final = 3 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOptions:
    """What a member link needs to know."""

    node_name: str
    boot_id: str
    cluster_id: str
    cluster_key: Secret
    """64 hexadecimal digits, as ``read_cluster_key`` gives it."""
    also_believed: tuple[Secret, ...] = ()
    """Further keys whose holders are members, while the cluster key is changed."""
    sealing: tuple[Secret, ...] = ()
    """What this node seals with, then what it knows besides while that is changed; none: nobody proves to be a node."""
    host: str | None = None
    """Address or name to listen on; ``None``: all addresses."""
    port: int = 5201
    """0: any that is free, for tests."""
    advertised: str = ""
    """Where others reach this node, ``host:port``, as its greeting says; empty: it does not say."""
    url: str = ""
    """Where its REST API answers; empty of a witness."""


class MemberListener(NamedTuple):
    """Called in the node's loop, never from another thread."""

    on_vote_request: Callable[[VoteRequest, Callable[[Vote], None]], None]
    """(vote_request, how to answer it). The answer may be given later, or never; it goes over the same connection."""
    on_vote: Callable[[Vote], None]
    on_no_vote: Callable[[str, int], None]
    """(member, request): this vote request surely gets no answer."""
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


class Sighting:
    """Something that counts only after it was seen for a while, from its first sighting to its last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sentence = ""
        self._first = self._last = Instant(0)

    def see(self, sentence: str) -> None:
        now = self._clock.now()
        if not self.is_fresh:
            self._first = now
        self._sentence, self._last = sentence, now

    @property
    def is_fresh(self) -> bool:
        return bool(self._sentence) and self._clock.now() < self._last + DUPLICATE_US

    def lasting(self, for_us: int = DUPLICATE_US) -> str:
        """Return what was seen, while it is and once it was for ``for_us``; else an empty text.

        A node that starts again right after its host died may be refused for two seconds for the sake of its old self:
        so the time between first and last sighting counts, not the time since the first.
        """
        return self._sentence if self.is_fresh and self._last - self._first >= for_us else ""


class LocalPeer:
    """Shared by all connections of one link. ``listener``, ``orders`` and ``checkpoints`` are set by the link."""

    listener: MemberListener
    orders: "TakenOrders"
    """What others order of this node."""
    checkpoints: "TakenCheckpoints"
    """What others ask it to cosign."""

    def __init__(self, options: MemberOptions, credentials: Credentials, clock: Clock, entropy: Entropy) -> None:
        self.options = options
        self.credentials = credentials
        self.clock = clock
        self.entropy = entropy
        self.refusals = Rejections(clock)
        self.was_let_in = False
        """Whether any member has ever let this process in."""
        self.duplicate = Sighting(clock)
        """Another node was seen with this node's name, or others refuse this node for it."""
        self.displacing = Sighting(clock)
        """A member has another process of this name connected, and refuses this one."""
        self.held_until: Instant | None = None
        """Until then a failover test keeps this node from the others."""

    @property
    def is_held(self) -> bool:
        """Whether this node is kept from the others now."""
        return self.held_until is not None and self.clock.now() < self.held_until

    def greeting(self, purpose: Purpose = Purpose.LINK) -> Greeting:
        """Return what this node says first, with a nonce of its own for each connection."""
        options = self.options
        return Greeting(
            purpose,
            options.cluster_id,
            options.node_name,
            options.boot_id,
            self.entropy.nonce(),
            options.advertised,
            sayable_url(options.url),
        )

    def why_refused(
        self,
        greeting: Greeting,
        certified: PeerName | None,
        transport: asyncio.BaseTransport | None,
        *,
        must_prove: bool,
        live: str,
    ) -> Refused | None:
        """Judge the greeting of a peer whose certificate is for ``certified``.

        ``must_prove``: it is a node by the list of members; ``live``: the life of its name that is connected already.
        """
        if certified is not None and certified.cluster_id != self.options.cluster_id:
            return Refused.CLUSTER_ID
        if certified != PeerName(greeting.cluster_id, greeting.node):
            return Refused.FORGED
        if must_prove and not self.credentials.is_node(transport, certified):
            return Refused.UNPROVEN
        if greeting.node == self.options.node_name:
            return Refused.ITSELF if greeting.boot_id == self.options.boot_id else Refused.OWN_NAME
        return Refused.TWIN if live not in {"", greeting.boot_id} else None

    def tell(self, listener: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``listener``; what it raises is reported, and costs neither the connection nor other messages."""
        try:
            listener(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - a stranger's code, reported and not swallowed
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a listener of the member link failed: {listener!r}", "exception": error}
            )


def other_version(peer: str, version: int, own: int) -> str:
    """A sentence for a member that speaks another version of the protocol."""
    which = "an older" if version < own else "a newer"
    where = "there" if version < own else "on this node"
    return f"{peer} speaks version {version} of the member protocol, {which} one than {own} here: update rppam {where}"
