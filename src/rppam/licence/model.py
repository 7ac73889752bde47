"""Licences: what a signed file allows, as pure decisions.

Without a licence a node is Standard: one node, no high availability. A second node needs Enterprise or MSP and a free
seat. Time only ever stops something *new*: an expired licence warns, long before and after, and refuses a node that was
not in the cluster yet; it never stops a member, nor a restart of one.

What it does not promise: protection against an administrator who changes the code, which is open.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from rppam.kernel.clock import Clock
from rppam.kernel.instant import WallMs

DAY_MS: Final = 86_400_000
STANDARD_NODES: Final = 1


class Tier(StrEnum):
    """Licence tiers."""

    STANDARD = "standard"
    """One node; also what runs without a licence."""
    ENTERPRISE = "enterprise"
    MSP = "msp"

    @property
    def allows_cluster(self) -> bool:
        """Whether more than one node may run."""
        return self is not Tier.STANDARD


class Licence(NamedTuple):
    """A licence whose signature was checked. Limits are counts; ``None`` is no limit."""

    id: str
    customer: str
    tier: Tier
    max_nodes: int
    max_users: int | None
    max_resources: int | None
    features: tuple[str, ...]
    issued_at: WallMs
    expires_at: WallMs
    key_id: str
    """Thumbprint of the key that signed it (RFC 7638)."""


class LicenceState(StrEnum):
    """Where a licence stands in its life."""

    NONE = "none"
    VALID = "valid"
    EXPIRING = "expiring"
    """30 days or less are left."""
    EXPIRED = "expired"


class WarningLevel(StrEnum):
    """Who should see a licence warning."""

    NOTICE = "notice"
    """30 days or less: those who look after licences."""
    WARNING = "warning"
    """14 days or less: every administrator."""
    URGENT = "urgent"
    """7 days or less, and after: everyone."""


class LicenceWarning(NamedTuple):
    """One sentence about the licence, and how loudly to say it."""

    level: WarningLevel
    sentence: str


class Allowed(NamedTuple):
    """The node may join."""

    seats_free: int
    """Seats left once it has joined."""


class Denied(NamedTuple):
    """The node may not join."""

    reason: str
    fix: str


_LEVELS: Final = ((7, WarningLevel.URGENT), (14, WarningLevel.WARNING), (30, WarningLevel.NOTICE))
"""Days left, and from there on how loudly. The product's licence banners use the same three steps."""

_GONE: Final = (
    "A node that is gone for good, or has another name now, still counts until its old name is removed: by the leader "
    "(rppam cluster forget NAME), or, where no node leads, in Redis (redis-cli SREM rppam:members NAME, with "
    "redis.keyPrefix in place of rppam:)"
)


def state_of(licence: Licence | None, now: WallMs) -> LicenceState:
    """Where ``licence`` stands at ``now``."""
    if licence is None:
        return LicenceState.NONE
    if now >= licence.expires_at:
        return LicenceState.EXPIRED
    return LicenceState.EXPIRING if days_left(licence, now) <= _LEVELS[-1][0] else LicenceState.VALID


def days_left(licence: Licence, now: WallMs) -> int:
    """Days until it expires, a begun day counted whole; zero or less once it has expired."""
    return -((now - licence.expires_at) // DAY_MS)


def warning_of(licence: Licence | None, now: WallMs) -> LicenceWarning | None:
    """What people should be told about the licence at ``now``, if anything."""
    if licence is None:
        return None
    left = days_left(licence, now)
    if now >= licence.expires_at:
        ago = (now - licence.expires_at) // DAY_MS
        when = "today" if ago == 0 else f"{ago} day{'s' if ago > 1 else ''} ago"
        return LicenceWarning(
            WarningLevel.URGENT,
            f"The {licence.tier} licence of {licence.customer} expired {when}. Everything that runs keeps running, but "
            "no new node can join. Install a renewed licence.",
        )
    for days, level in _LEVELS:
        if left <= days:
            return LicenceWarning(
                level,
                f"The {licence.tier} licence of {licence.customer} expires in {left} day{'s' if left > 1 else ''}. "
                "Nothing will stop then, but no new node can join. Install a renewed licence.",
            )
    return None


def may_join(licence: Licence | None, seats_in_use: int, now: WallMs) -> Allowed | Denied:
    """Decide whether one more node may run beside ``seats_in_use`` others; witnesses take no seat.

    Asked for a newcomer only: a node that the cluster knows already has its seat, and comes back without asking.
    """
    tier = licence.tier if licence else Tier.STANDARD
    if seats_in_use <= 0:
        return Allowed(max(0, (licence.max_nodes if licence and tier.allows_cluster else STANDARD_NODES) - 1))
    others = f"{seats_in_use} other node{'s run' if seats_in_use > 1 else ' runs'}"
    of = f"licence {licence.id} of {licence.customer}" if licence else ""
    if licence is None or not tier.allows_cluster:
        standard = f"{of} is Standard" if licence else "without a licence this is RP-PAM Standard"
        return Denied(
            f"{standard}, which runs one node, and {others} here already",
            f"Install an Enterprise or MSP licence (license.path) on every node, or stop the other node first. {_GONE}",
        )
    if seats_in_use >= licence.max_nodes:
        return Denied(
            f"{of} allows {licence.max_nodes} nodes, and {others} here already",
            f"Remove a node from the cluster, or install a licence for more nodes. {_GONE}",
        )
    if now >= licence.expires_at:
        return Denied(
            f"{of} has expired, and an expired licence admits no new node",
            "Install a renewed licence; the nodes that belong to the cluster keep running meanwhile",
        )
    return Allowed(licence.max_nodes - seats_in_use - 1)


class Seats:
    """The seats of one licence, asked now."""

    def __init__(self, licence: Licence | None, clock: Clock) -> None:
        self._licence, self._clock = licence, clock

    def ask(self, others: int) -> Allowed | Denied:
        """Decide whether one more node may join beside ``others``."""
        return may_join(self._licence, others, self._clock.wall_ms())
