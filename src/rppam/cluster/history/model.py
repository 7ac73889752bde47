"""What a node notes of its cluster's past: the events, and one entry.

Decides the names that scripts may rely on. The sentence of an entry is for people, and may be worded anew.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from rppam.kernel.instant import WallMs


class HistoryEvent(StrEnum):
    """What can happen. Each is noted by every node that sees it, so that the history of one node tells the story."""

    STARTED = "started"
    """This node began to take part."""
    STOPPING = "stopping"
    """This node was asked to stop, or may not go on."""
    ELECTED = "elected"
    """This node leads from now on; ``withoutLeaderMs`` as in :attr:`LEADER`."""
    STEPPED_DOWN = "stepped-down"
    """This node stopped leading."""
    LEADER = "leader"
    """Another node leads, as this one sees it; ``withoutLeaderMs``: for how long before that it knew of nobody who led,
    from the last leader's last sign or farewell, or from its own start."""
    NO_LEADER = "no-leader"
    """This node has seen no leader for a while."""
    ADDRESS = "address"
    """The virtual address came to this host, or went; ``here``."""
    STORE_LOST = "store-lost"
    """Redis does not answer this node any more."""
    STORE_BACK = "store-back"
    """Redis answers this node again; ``awayMs``: after how long."""
    MEMBER = "member"
    """The status of another member changed, as this node sees it."""
    NOTICE = "notice"
    """Leadership says something: who the members are, that promises cannot be kept on disk, ..."""
    ORDER = "order"
    """An administrator gave this node an order."""
    CONTROL_ENDED = "control-ended"
    """The control process of this node ended, or was killed by the supervisor because it hung."""
    WITHDRAWN = "permission-withdrawn"
    """The supervisor withdrew the permission to lead from this node's API workers."""
    LAST_WORD = "last-word"
    """The supervisor told the store or a member that leadership is given up."""
    PROCESS_ENDED = "process-ended"
    """A worker or the template of this node ended, or was killed by the supervisor because it hung."""
    RESTARTS = "restarts-slowed"
    """A process dies so often that the next one is started later."""


class HistoryEntry(NamedTuple):
    """One thing that happened."""

    at: WallMs
    """By the wall clock of the node that noted it."""
    event: str
    """One of :class:`HistoryEvent`, or what another release of this program calls it."""
    sentence: str
    facts: Mapping[str, object]
    """What scripts may want of it: ``epoch``, ``leader``, ``member``, ``withoutLeaderMs``, ..."""


class Past(NamedTuple):
    """The end of a history."""

    entries: tuple[HistoryEntry, ...]
    """In the order in which they were noted."""
    unreadable: int
    """Lines that are no entries: a disk that was full cuts one short, an editor leaves some."""
