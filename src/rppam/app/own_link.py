"""The node's picture, and in it how the process that answers stands with Redis itself.

Leadership and each process that answers requests have connections of their own. One that stands may be older than a
password that Redis takes no more, so the control process may be well connected where nobody else gets in. It decides
nothing, and says nothing where leadership has no connection either: that is told already.
"""

from typing import Final

from msgspec.structs import replace

from rppam.cluster.health.model import ClusterSnapshot
from rppam.cluster.health.ports import NodeStatus
from rppam.kernel.clock import Clock
from rppam.kernel.instant import US_PER_S
from rppam.redis.link import Link

BORNE_S: Final = 5
"""A connection that is made again within this time is nobody's business."""
_SAID: Final = (
    "a process of this node that answers requests has no connection to Redis, while leadership has one: it asks the "
    "database in place of the cache, and counts for limits what it sees itself. {reason}"
)


class WithOwnLink:
    """Implements :class:`rppam.cluster.health.ports.NodeStatus`: what another one says, and the state of ``link``."""

    def __init__(self, status: NodeStatus, link: Link, clock: Clock) -> None:
        """``link``: this process's own to Redis."""
        self._status, self._link, self._clock = status, link, clock
        # The other one's own: what is asked at every request has no detour.
        self.may_lead = status.may_lead
        self.authority = status.authority
        self.is_alive = status.is_alive

    def snapshot(self) -> ClusterSnapshot:
        """See :meth:`rppam.cluster.health.ports.NodeStatus.snapshot`."""
        seen = replace(self._status.snapshot(), worker_redis_connected=self._link.is_connected)
        if not seen.redis_connected or not self._is_down_for_long:
            return seen
        return replace(seen, warnings=(*seen.warnings, _SAID.format(reason=self._link.status.reason)))

    @property
    def _is_down_for_long(self) -> bool:
        since = self._link.status.since
        return since is not None and self._clock.now() - since >= BORNE_S * US_PER_S
