"""A session with a target: one connection of a user through the gateway to one account."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from rppam.kernel.instant import WallMs

SEEN_EVERY_S: Final = 2.0
"""How often a gateway says that its sessions live."""
LOST_MS: Final = 8_000
"""A session of which nobody has said so for this long has lost its gateway."""
LOOK_MS: Final = 60_000
"""So long after a session was left it is seen whether its shell has ended by itself, then after as long again."""
LATE_MS: Final = 120_000
"""So long after its time a kept session that no gateway could end is closed in the register all the same."""
DUE_EVERY_S: Final = 5.0
"""How often a gateway looks for kept sessions that are to end."""
ORDERS_EVERY_S: Final = 0.5
"""How often a gateway asks for orders; the cache tells of them sooner."""
RIGHTS_EVERY_S: Final = 5.0
"""How often it is asked whether the user may still be there: a right or a grant may have ended."""
RIGHTS_AT_ONCE: Final = 20
ORDERED: Final = "ended by an administrator"
"""What the reason of a session begins with that somebody ordered to end. The register has a name in its place."""
WHY_CHARS: Final = 300
PAGE_MAX: Final = 200
FILE_ACTIONS: Final = ("file.transfer", "file.change", "file.untold")


class Kind(StrEnum):
    """What a channel carries."""

    SHELL = "shell"
    EXEC = "exec"
    SFTP = "sftp"
    SUBSYSTEM = "subsystem"
    LOCAL_FORWARD = "local-forward"
    REMOTE_FORWARD = "remote-forward"
    AGENT = "agent"
    """The user's own agent, for the target to sign with."""


ALL_KINDS: Final = frozenset(Kind)
FILE_KINDS: Final = frozenset({Kind.SFTP})
"""What the right to carry files opens; all else is opened by the right to shells."""


@dataclass(frozen=True, slots=True)
class About:
    """Whose session it is, and with what."""

    id: str
    user_id: str
    user: str
    auth_epoch: int
    target_id: str
    target: str
    account_id: str
    account: str
    kind: str
    """``ssh``, ``terminal``."""


@dataclass(frozen=True, slots=True)
class NewAccess(About):
    """What a session begins with."""

    client: str
    """The user's address."""
    node: str
    boot_id: str
    """Of the gateway process."""


@dataclass(frozen=True, slots=True)
class Access(NewAccess):
    """A session as SQL knows it."""

    active: bool
    started: WallMs
    ended: WallMs | None
    why: str
    bytes_up: int
    bytes_down: int
    is_kept: bool = False
    """A holder on the target keeps its shell when the gateway is lost."""
    detached: WallMs | None = None
    """Since when nobody has it; ``None``: somebody does, or it is over."""


class Alive(NamedTuple):
    """What a gateway says of a session that it has."""

    generation: int
    up: int
    down: int
    moved: bool = True
    """Whether bytes have passed since it was said last."""


class FileNote(NamedTuple):
    """What the ledger has of a file that SFTP carried."""

    seq: int
    at: WallMs
    action: str
    details: Mapping[str, Any]


class Order(NamedTuple):
    """What somebody wants of a session."""

    id: str
    session: str
    kind: str
    """``kill``."""
    reason: str
    by: str


class PinnedKey(NamedTuple):
    """A host key of a target."""

    algorithm: str
    public: str
    """As in ``known_hosts``: type and base64."""
    fingerprint: str


class Tick(NamedTuple):
    """What a gateway hears when it asks: what to end, and why."""

    orders: tuple[Order, ...]
    gone: dict[str, str]
    """Sessions whose users may not go on, with the reason."""
    lost: frozenset[str]
    """Sessions that somebody has closed in the register meanwhile."""
    taken: frozenset[str] = frozenset()
    """Sessions that another gateway has taken up."""
