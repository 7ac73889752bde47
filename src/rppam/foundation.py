"""What every slice of one process stands on: the database, the cache, the settings in force, the clock.

The application makes it; a slice's ``wire`` gets it, and offers its services with it. The control process has less: see
:class:`ControlFoundation`.
"""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rppam.cache.ports import SharedCache
from rppam.cluster.link.link import TlsMemberLink
from rppam.config.settings import Settings
from rppam.db.clock import DatabaseClock
from rppam.db.database import Database
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.fence import OnOutranked
from rppam.settings.hot import LiveSettings

LinkOrder = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Answers an order of another node: (its name, arguments) to what goes back. ValueError for what is none."""


class Foundation(NamedTuple):
    """See the module."""

    config: Settings
    """``rppam.config`` of this node."""
    database: Database
    cache: SharedCache
    """Shared by all nodes."""
    hot: LiveSettings
    """The settings in force."""
    clock: Clock
    session_clock: DatabaseClock
    """The one clock of all nodes."""
    entropy: Entropy
    outranked: OnOutranked
    """Hears that the fence refused a write of this leader."""

    @property
    def node(self) -> str:
        """This node's name."""
        return self.config.node.node_name


class ControlFoundation(NamedTuple):
    """What the leader's tasks of every slice stand on, in the process that leadership runs in.

    It has no cache and no settings in force: a write there reaches the other processes by the change log.
    """

    config: Settings
    database: Database
    clock: Clock
    entropy: Entropy
    boot_id: str
    """Of this process: with the epoch it makes the authority of a fenced write."""
    link: TlsMemberLink | None = None
    """To the other members; ``None`` where there are none."""
    config_file: Path | None = None
    """Where ``config`` was read, for commands that are started; ``None`` where the node is a single process."""
    link_orders: dict[str, LinkOrder] | None = None
    """What slices answer other nodes over the link, by the name of the order: they add theirs."""
    members: Callable[[], frozenset[str]] = frozenset
    """The members by the list that is in force; empty while it changes, and where members do not vote."""

    @property
    def node(self) -> str:
        """This node's name."""
        return self.config.node.node_name
