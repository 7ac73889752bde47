"""What the fence in the database has told this node: that a newer epoch than its own was there.

It has no end that could be seen, so it is a warning in health until it has not happened for a while; the log and the
history tell it with the end of the leadership that it costs. Decides nothing.
"""

from typing import Final

from rppam.kernel.fence import Outranked
from rppam.kernel.instant import US_PER_S, Instant

WARNED_FOR_US: Final = 600 * US_PER_S
"""So long after the last time it is warned of."""
SENTENCE: Final = (
    "the database knew epoch {newest} of {holder} when this node led at epoch {epoch}: nothing that only a leader may "
    "write was taken, so it stopped and stood again above that. Once, after a database was restored or somebody "
    "changed the table 'fence' by hand, that is all. If it comes again, another cluster uses the same database: "
    "compare database.url on all nodes with the names in the table 'epochs', and give each cluster one of its own"
)


class FenceNews:
    """What one node was told."""

    def __init__(self) -> None:
        self._last: Outranked | None = None
        self._at = Instant(0)

    def outranked(self, news: Outranked, now: Instant) -> None:
        """A write of this node was refused as too old."""
        self._last, self._at = news, now

    def warnings(self, now: Instant) -> tuple[str, ...]:
        """The sentence for an administrator, a while after the last time still."""
        if self._last is None or now - self._at >= WARNED_FOR_US:
            return ()
        epoch, by = self._last
        return (SENTENCE.format(newest=by.epoch, holder=by.node or "nobody known", epoch=epoch),)
