"""Where a node's history is read."""

from typing import Protocol

from rppam.cluster.history.model import Past


class History(Protocol):
    """What this node noted."""

    async def last(self, limit: int) -> Past:
        """At most the ``limit`` newest entries; none where nothing was noted yet.

        Raises :class:`~rppam.kernel.errors.history.HistoryUnreadable`.
        """
        ...
