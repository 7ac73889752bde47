"""The store of a single node that runs without Redis: the record lives in this process.

It follows the same rule as Redis, so the election needs no special case. It is no shared truth: a second process has a
store of its own, which is why the node also holds a lock on its data directory.
"""

from collections.abc import Sequence

from rppam.cluster.consensus.exchange import exchange
from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.record import parse_record
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, StoreListener
from rppam.kernel.clock import Clock


class MemoryStore:
    """Implements ``LeadershipStore``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stands: str | None = None
        self._heartbeat: Heartbeat | None = None

    async def start(self, listener: StoreListener) -> None:
        listener.on_up(1, "in-process")

    async def stop(self) -> None:
        """Nothing to close."""

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:  # noqa: ARG002  # never waits
        done = exchange(
            self._stands,
            order.expected.encode() if order.expected else None,
            order.proposed.encode() if order.proposed else None,
            order.mark.encode(),
        )
        self._stands = done.stands
        record = parse_record(done.stands)
        assert record is not None
        before, self._heartbeat = self._heartbeat, order.heartbeat or self._heartbeat
        members = () if self._heartbeat is None else ((self._heartbeat.node, self._heartbeat),)
        return ExchangeAnswer(done.granted, done.was_absent, record, "", before, members, self._clock.wall_ms())

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """Nobody but this node is listed here."""
