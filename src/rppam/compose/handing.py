"""The leadership store with one addition: before a renewal leaves, the release that may follow it is handed over.

Before, not after: a control process that dies between the two would otherwise leave a record that nobody releases. Both
records that may stand are released by the same word, the one before the renewal and the one that it writes.
"""

from collections.abc import Callable, Sequence

from rppam.adapters.redis.last_word import release_word
from rppam.adapters.system.last_words import LastWords
from rppam.compose.redis import RedisParts
from rppam.config.settings import Settings
from rppam.domain.record import Record, RecordState
from rppam.ports.entropy import Entropy
from rppam.ports.store import ExchangeAnswer, ExchangeOrder, LeadershipStore, StoreListener


class HandingStore:
    """Implements :class:`rppam.ports.store.LeadershipStore` on another one."""

    def __init__(self, store: LeadershipStore, hand_over: Callable[[Sequence[Record]], None]) -> None:
        """``hand_over`` gets the records that a death from now on must release."""
        self._store = store
        self._hand_over = hand_over

    async def start(self, listener: StoreListener) -> None:
        """See the port."""
        await self._store.start(listener)

    async def stop(self) -> None:
        """See the port."""
        await self._store.stop()

    async def exchange(self, order: ExchangeOrder, timeout_ms: int) -> ExchangeAnswer:
        """See the port."""
        proposed = order.proposed
        if proposed is not None and proposed.state is RecordState.HELD:
            before = order.expected
            mine = before is not None and before.boot_id == proposed.boot_id and before.state is RecordState.HELD
            self._hand_over([before, proposed] if before is not None and mine else [proposed])
        answer = await self._store.exchange(order, timeout_ms)
        if answer.granted and proposed is not None and proposed.state is not RecordState.HELD:
            self._hand_over([])
        return answer

    async def unregister(self, node: str, timeout_ms: int) -> None:
        """See the port."""
        await self._store.unregister(node, timeout_ms)


def hander(
    settings: Settings, redis: RedisParts, words: LastWords, entropy: Entropy
) -> Callable[[Sequence[Record]], None]:
    """What puts the words for these records where the supervisor finds them."""

    def hand_over(records: Sequence[Record]) -> None:
        word = release_word(redis.link, redis.tls, settings.redis.key_prefix, records, entropy)
        words.hand_over([word] if word is not None else [])

    return hand_over
