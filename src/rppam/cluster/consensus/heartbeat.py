"""Members of the cluster: what a node says of itself, and what others make of it."""

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a node does in the cluster."""

    LEADER = "leader"
    STANDBY = "standby"
    WITNESS = "witness"


class MemberStatus(StrEnum):
    """What the observer makes of a member's heartbeats."""

    HEALTHY = "healthy"
    SUSPECT = "suspect"
    """Three heartbeats missed."""
    UNREACHABLE = "unreachable"
    """No heartbeat for a whole lease time."""
    UNKNOWN = "unknown"
    """The observer itself cannot read heartbeats now, so it accuses nobody."""
    MAINTENANCE = "maintenance"


class Heartbeat(NamedTuple):
    """What a node publishes each period: proof of work, not only of life. It carries no secret."""

    node: str
    boot_id: str
    beat: int
    """Counts up by one each time; a reader tells life by the change, never by comparing clocks."""
    role: Role
    epoch: int
    """The epoch it leads at, or the highest it has seen."""
    version: str
    hostname: str
    api_url: str
    """Where its REST API answers, as others reach it."""
    wall_ms: int
    """When it was sent by the sender's wall clock, for people only."""
    loop_lag_ms: int
    """How late its own loop ran at worst since the last heartbeat."""
    renewed_ms_ago: int
    """Milliseconds since its last successful exchange with the store."""
    seats: int = 1
    """Licence seats it takes; a witness takes none."""
    admitted: bool = True
    """False in the first few heartbeats, while the node makes sure that its name and a licence seat are free."""
    leaving: bool = False
    """Set in the last heartbeat of a clean leave."""
    member_address: str = ""
    """Where its member link listens, ``host:port``, as others reach it; empty where members do not vote."""
    priority: int = 100
    """Whom a leader that stops invites first: the highest."""
    joins: bool = False
    """It belongs to no cluster yet and asks the leader to be made a member."""
    maintenance: bool | None = False
    """It is in maintenance: it votes, and does not lead. ``None``, never in the text: nobody who may order it says."""
    pause_stamp: int = 0
    """When automatic failover was last paused or resumed, as far as this node knows; see ``operator_state``."""
    paused: bool = False
    paused_by: str = ""
    settings_revision: int | None = None
    """How many changes of hot configuration, of all that there ever were, each of its processes obeys; ``None``: not
    known, or a witness, or a release that did not tell."""
    password_mark: str = ""
    """Of a witness, which has no REST API to tell it: see the health's ``redis_password_mark``. Empty: not told.
    It stands there for everybody who reads Redis, and tells nothing of the password without the cluster key."""
    database: bool | None = None
    """Whether every process of the node can work with the database; ``None``: not known, or a witness."""
    address: bool | None = None
    """Whether the virtual address of the cluster is on its host; ``None``: its config names none, or a witness."""
    config: str = ""
    """Digests of what must be the same on all nodes, ``name=digest`` with blanks between; empty: not told."""
    store_ms: int = 0
    """The store's wall clock in its last answer to the sender: one that was put back tells an old time. Told only
    where there is a cluster key, and filled in where the text is made."""
