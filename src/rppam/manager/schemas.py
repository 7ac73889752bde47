"""The JSON of the REST API in the product's camelCase. What the product's page shows keeps its names exactly."""

from typing import Annotated

from pydantic import Field

from rppam.cluster.consensus.heartbeat import Role
from rppam.cluster.consensus.membership import MEMBERS_MAX
from rppam.http.schemas import Flag, Shape
from rppam.manager.note_model import NOTE_CHARS_MAX

NODE_NAME = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


NodeName = Annotated[str, Field(pattern=NODE_NAME)]


class NoteRequest(Shape):
    """The new operator note. An empty text clears it."""

    text: Annotated[str, Field(max_length=NOTE_CHARS_MAX)]


class NewNodeRequest(Shape):
    """A node that is to join."""

    node_name: NodeName
    """Its future `node.nodeName`: 1 to 63 of a-z, 0-9 and -, no - at either end."""


class NewNodeAnswer(Shape):
    """The node may join; nothing was changed yet."""

    node_name: str
    seats_free: int
    """Licence seats left once it has joined."""
    next: list[str]
    """What to run, in order: on this host, then on the new one."""


class SwitchoverRequest(Shape):
    """Which node shall lead."""

    target: NodeName | None = None
    """Left out: the first in the order of succession (`cluster.priority`)."""


class MaintenanceRequest(Shape):
    """Whether the node is in maintenance."""

    maintenance: Flag


class PauseRequest(Shape):
    """Whether automatic failover is paused."""

    paused: Flag


class ForgetRequest(Shape):
    """Which members to remove."""

    members: Annotated[list[NodeName], Field(min_length=1, max_length=MEMBERS_MAX)]
    """One, unless `force` is set."""
    is_off: Annotated[bool, Field(alias="off", strict=True)] = False
    """You state that the member is switched off for good."""
    force: Flag = False
    """Remove them at the asked node by your word alone: a majority is lost for good."""
    back: Annotated[list[NodeName], Field(max_length=MEMBERS_MAX)] = Field(default=[])
    """With `force`: nodes that are members again, where a list of members was taken over that no administrator made."""
    back_witnesses: Annotated[list[NodeName], Field(alias="backWitnesses", max_length=MEMBERS_MAX)] = Field(default=[])
    """With `force`: witnesses that are members again."""


class OrderTaken(Shape):
    """An order that was taken."""

    said: str
    """What was begun, in one sentence."""
    node: str
    """Which node took it."""


class NodeTold(Shape):
    """The outcome of an order at another node."""

    node: str
    told: bool
    said: str
    """What it has begun, or why it was not told."""
    code: str | None
    """Of the error, where it was not told."""


class PauseTaken(OrderTaken):
    """A pause that was taken, and who else took it."""

    others: list[NodeTold]
    """Every other node; those that were not told hear of it through Redis."""


class NodeReportShape(Shape):
    """What one node says of itself; null where it gave no answer."""

    node_name: str
    answered: bool
    reason: str
    """Why there is no answer; empty where there is one."""
    version: str | None = None
    role: Role | None = None
    leader_node: str | None = None
    """The leader as this node sees it."""
    epoch: int | None = None
    cluster_healthy: bool | None = None
    redis_connected: bool | None = None
    redis_password_mark: str | None = None
    """The same on two nodes that use the same Redis password. null: it stands in no file, or there is no cluster
    key."""
    paused: bool | None = None
    url: str | None = None
    """Where its REST API answers, as it says itself."""
    warnings: list[str] = Field(default_factory=list)
    """What it warns of, such as that members do not agree that it gets the vault's master key."""


class NodeReports(Shape):
    """What every node says of itself, asked over the member link."""

    answered_by: str
    nodes: list[NodeReportShape]


class HistoryEntryShape(Shape):
    """One thing that happened."""

    time: str
    """By the clock of the answering node, to the millisecond."""
    event: str
    """`elected`, `stepped-down`, `leader`, `no-leader`, `store-lost`, `member`, `order`, `control-ended`, ..."""
    sentence: str
    """For people; another release may word it differently."""
    facts: dict[str, str | int | bool | None]
    """For scripts: `epoch`, `leader`, `member`, `status`, `withoutLeaderMs`, `awayMs`, `by`, ..."""


class ClusterHistory(Shape):
    """What the answering node noted of leadership, the store, the members and its own processes."""

    node: str
    """The answering node; the others noted what they saw."""
    entries: list[HistoryEntryShape]
    """The newest last."""
    unreadable: int
    """Lines of the file that are no entries."""


class NoteWritten(Shape):
    """A note that was accepted under the leader's fence."""

    text: str
    author: str
    epoch: int
    node: str
