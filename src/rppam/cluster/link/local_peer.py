"""This node as its side of every connection sees it: who it is, what it shows, whom it tells."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, ParamSpec

from rppam.cluster.link.codec import Greeting, Purpose, sayable_url
from rppam.cluster.link.credentials import Credentials
from rppam.cluster.link.ports import MemberListener
from rppam.cluster.link.rejections import Rejections
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_S, Instant
from rppam.kernel.secret import Secret

if TYPE_CHECKING:
    from rppam.cluster.link.orders import TakenOrders

P = ParamSpec("P")

_NEVER: Final = Instant(0)
TWIN_US: Final = 3 * US_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberOptions:
    """What a member link needs to know."""

    node_name: str
    boot_id: str
    cluster_id: str
    cluster_key: Secret
    """64 hexadecimal digits, see :func:`rppam.cluster.link.credentials.read_cluster_key`."""
    also_believed: tuple[Secret, ...] = ()
    """Further keys whose holders are members, while the cluster key is changed."""
    sealing: tuple[Secret, ...] = ()
    """What this node seals with, then what it knows besides while that is changed; none: nobody proves to be a node."""
    host: str | None = None
    """Address or name to listen on; ``None``: all addresses."""
    port: int = 5201
    """0: any that is free, for tests."""
    advertised: str = ""
    """Where others reach this node, ``host:port``, as it tells them in its greeting; empty: it does not say."""
    url: str = ""
    """Where its REST API answers, which it tells them, too; empty of a witness."""


@dataclass(slots=True, kw_only=True)
class LocalPeer:
    """Shared by all connections of one link."""

    options: MemberOptions
    credentials: Credentials
    refusals: Rejections
    clock: Clock
    entropy: Entropy
    listener: MemberListener
    orders: "TakenOrders"
    """What others order of this node."""
    _twin: str = ""
    _twin_from: Instant = _NEVER
    _twin_at: Instant = _NEVER
    """When it was last seen."""
    was_let_in: bool = False
    """Whether any member has ever let this process in."""
    _refused: str = ""
    _refused_from: Instant = _NEVER
    _refused_at: Instant = _NEVER

    def saw_twin(self, sentence: str) -> None:
        """Somebody else was seen with this node's name, or others refuse this node for it."""
        now = self.clock.now()
        if not self.twin_is_fresh:
            self._twin_from = now
        self._twin, self._twin_at = sentence, now

    @property
    def twin_is_fresh(self) -> bool:
        """Whether a twin was seen lately."""
        return bool(self._twin) and self.clock.now() < self._twin_at + TWIN_US

    @property
    def twin(self) -> str:
        """What was seen of a twin, once it has been seen for three seconds and while it is; else empty.

        A node that starts again right after its host died may be refused for two seconds for the sake of its old self:
        from the first sighting to the last one, not to now, three seconds have to pass.
        """
        lasted = self._twin_at - self._twin_from >= TWIN_US
        return self._twin if self.twin_is_fresh and lasted else ""

    def refused_for_twin(self, sentence: str) -> None:
        """A member has another process of this name connected, and refuses this one."""
        now = self.clock.now()
        if not self._refused or now >= self._refused_at + TWIN_US:
            self._refused_from = now
        self._refused, self._refused_at = sentence, now

    def displaced(self, old_self_us: int) -> str:
        """What a member said, where this process is the newcomer of two with one name; else empty.

        ``old_self_us``: so long members may take an old self of this node, whose host died, for a living one.
        """
        is_fresh = bool(self._refused) and self.clock.now() < self._refused_at + TWIN_US
        lasted = self._refused_at - self._refused_from >= max(TWIN_US, old_self_us)
        return self._refused if is_fresh and lasted and not self.was_let_in else ""

    def greeting(self, purpose: Purpose = Purpose.LINK) -> Greeting:
        """What this node says first, with a nonce of its own for each connection."""
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
