"""What the gateway needs of others: where one may go, and what opens the way."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from rppam.access.sessions.model import Identity
from rppam.gateway.certificates import Certified
from rppam.gateway.model import ALL_KINDS, Kind, PinnedKey
from rppam.kernel.actor import Actor
from rppam.kernel.secret import Secret


class Route(NamedTuple):
    """An account of a target, as the gateway reaches it."""

    target_id: str
    target: str
    host: str
    port: int
    account_id: str
    account: str
    """Its name, as people type it."""
    username: str
    """What the target calls it."""
    trust: str = "tofu"
    """``pin``: an administrator confirms host keys; ``tofu``: the first contact does."""
    tags: tuple[str, ...] = ()
    is_host: bool = True
    """It has a system that can run a program; a switch or a router has none."""
    legacy: bool = False
    """Old algorithms are taken with it, after all others."""
    kinds: frozenset[Kind] = ALL_KINDS
    """What the right of who goes there is for; the policy may allow less."""


class Credential(NamedTuple):
    """What the target is shown. It is dropped once the connection stands."""

    password: Secret | None = None
    private_key: Secret | None = None
    passphrase: Secret | None = None
    certify: "Callable[[str], Awaitable[Certified]] | None" = None
    """Signs a certificate for who comes from an address; it is tried first. ``None``: the target trusts none."""
    requests: tuple[str, ...] = ()
    """The requests for access by whose grants it was got."""


class Routes(Protocol):
    """Where one may go."""

    async def all(self, identity: Identity) -> list[Route]:
        """Everything that ``identity`` may connect to, by target and account."""
        ...

    async def find(self, identity: Identity, target: str, account: str) -> Route:
        """One of them; ``account`` may be empty. Raises :class:`~rppam.gateway.errors.RouteUnknown`, with one text
        whether there is none or it is not allowed, and :class:`~rppam.gateway.errors.AccountUnclear`."""
        ...

    async def left_s(self, identity: Identity, route: Route) -> float | None:
        """How long until ``identity`` may do less there than now; ``None``: nothing ends that by itself."""
        ...

    async def open(self, identity: Identity, route: Route, session: str) -> Credential:
        """The credential for ``session``, which uses it without showing it."""
        ...

    async def open_before(self, identity: Identity | None, route: Route, session: str) -> Credential | None:
        """What was in place of the credential before it was changed last, as one of :meth:`open`; ``None``: nothing.

        For a target that does not take the present one, as after a restore. Without ``identity`` the node asks in
        its own name.
        """
        ...

    async def known(self, target_id: str, account_id: str) -> Route:
        """The way to an account that is known by its ids, whoever may go it. Raises
        :class:`~rppam.gateway.errors.RouteUnknown`."""
        ...

    async def open_to_end(self, route: Route, session: str) -> Credential:
        """The credential by which a node ends ``session`` in its own name, whoever may use it now."""
        ...

    async def between(self, target: str, account: str) -> Route:
        """The way to a target that others are reached through, whoever may go it; ``account`` may be empty. Raises
        :class:`~rppam.gateway.errors.JumpUnusable`."""
        ...

    async def open_between(self, route: Route, session: str) -> Credential:
        """The credential by which a node goes through such a target for ``session``, in its own name."""
        ...


class KnownHosts(Protocol):
    """The host keys that targets are known by, the same for all nodes."""

    async def of(self, target_id: str) -> list[PinnedKey]:
        """Those that are pinned for a target."""
        ...

    async def pin(self, target_id: str, key: PinnedKey) -> None:
        """Pin the first one that a target has shown."""
        ...


class Tape(Protocol):
    """What records one channel. Everything is shown in the order in which it came."""

    def output(self, data: bytes, is_error: bool, show: Callable[[], None]) -> None:
        """What the target said; ``show`` is called when the user may see it."""
        ...

    def input(self, data: bytes) -> None:
        """What the user typed."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """The user's terminal has another size."""
        ...

    def on_room(self, paused: Callable[[bool], None]) -> None:
        """Call ``paused`` with true when no more should come for now, and with false when there is room again."""
        ...

    async def close(self, how: str) -> None:
        """Everything that came has been shown and is durable, or it never will be; ``how`` the channel ended."""
        ...

    @property
    def ident(self) -> str:
        """Of the recording; empty where there is none."""
        ...

    @property
    def kept(self) -> int:
        """How many bytes of output are durable, from the channel's beginning on."""
        ...

    @property
    def missing(self) -> str:
        """Why something that came is not durable and never will be; empty: it is, or policy does without."""
        ...

    def on_kept(self, kept: Callable[[int], None]) -> None:
        """Call ``kept`` with how many bytes of output are durable whenever that grows."""
        ...

    def gap(self, count: int) -> None:
        """So many bytes of output will not come."""
        ...

    async def leave(self) -> None:
        """Everything that came is durable, or never will be; somebody else goes on with the channel."""
        ...


class Recordings(Protocol):
    """Where channels are recorded."""

    async def begin(self, what: "Recorded", on_lost: Callable[[str], None]) -> Tape:
        """A tape for one channel; ``on_lost`` hears why nothing more can be recorded. Raises what keeps it from being
        recorded, where policy does not allow that."""
        ...

    async def resume(self, ident: str, generation: int, actor: Actor, on_lost: Callable[[str], None]) -> Tape:
        """A tape that goes on with the recording ``ident``; nobody with a lower generation writes it from now on.
        Raises as :meth:`begin`."""
        ...

    async def last(self, ident: str, count: int) -> bytes:
        """The last ``count`` bytes of output that the recording ``ident`` has, or fewer; none from before a gap."""
        ...

    async def wait(self, ident: str, *, on: bool) -> None:
        """Say that the session of the recording ``ident`` waits to be watched, or that it does no more."""
        ...

    async def second(self, ident: str, user_id: str) -> tuple[str, str]:
        """Id and name of somebody else than ``user_id`` who watches the recording ``ident``; empty: nobody does."""
        ...


class Recorded(NamedTuple):
    """What is recorded."""

    session: str
    target_id: str
    target: str
    account: str
    user_id: str
    user: str
    kind: str
    title: str
    """The command, or empty for a shell."""
    term: str
    columns: int
    rows: int
    actor: Actor


class NoTape:
    """Records nothing, and shows everything at once; what was shown counts as durable."""

    def __init__(self) -> None:
        self.ident, self.kept, self.missing = "", 0, ""
        self._on_kept: Callable[[int], None] | None = None

    def output(self, data: bytes, is_error: bool, show: Callable[[], None]) -> None:
        """See :class:`Tape`."""
        show()
        self.kept += len(data)
        if self._on_kept is not None and data:
            self._on_kept(self.kept)

    def on_kept(self, kept: Callable[[int], None]) -> None:
        """See :class:`Tape`."""
        self._on_kept = kept

    def gap(self, count: int) -> None:
        """See :class:`Tape`."""
        self.kept += count

    async def leave(self) -> None:
        """See :class:`Tape`."""

    def input(self, data: bytes) -> None:
        """See :class:`Tape`."""

    def resize(self, columns: int, rows: int) -> None:
        """See :class:`Tape`."""

    def on_room(self, paused: Callable[[bool], None]) -> None:
        """See :class:`Tape`."""

    async def close(self, how: str) -> None:
        """See :class:`Tape`."""


class NoRecordings:
    """Where nothing is recorded."""

    async def begin(self, what: Recorded, on_lost: Callable[[str], None]) -> Tape:
        """See :class:`Recordings`."""
        return NoTape()

    async def resume(self, ident: str, generation: int, actor: Actor, on_lost: Callable[[str], None]) -> Tape:
        """See :class:`Recordings`."""
        return NoTape()

    async def last(self, ident: str, count: int) -> bytes:
        """See :class:`Recordings`."""
        return b""

    async def wait(self, ident: str, *, on: bool) -> None:
        """See :class:`Recordings`."""

    async def second(self, ident: str, user_id: str) -> tuple[str, str]:
        """See :class:`Recordings`."""
        return ("", "")


class Ways(NamedTuple):
    """What a gateway is given by others."""

    routes: Routes
    known_hosts: KnownHosts
    recordings: Recordings
