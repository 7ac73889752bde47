"""What is handed over to the supervisor while this node leads: how to give everything back should it die.

The record is released and every promise is freed by words that are ready before they are needed. Before a renewal
leaves, not after: a control process that dies between the two would otherwise leave a record that nobody releases. So
both records that may stand are released by the same word, the one before the renewal and the one that it writes.
"""

from collections.abc import Sequence

from rppam.app.redis import RedisParts
from rppam.cluster.consensus.effects import Phase
from rppam.cluster.consensus.messages import Candidacy
from rppam.cluster.consensus.record import Record, RecordState
from rppam.cluster.consensus.status import Status
from rppam.cluster.driver.crash_release import Releasing, freeing_words, release_word
from rppam.cluster.link.link import TlsMemberLink
from rppam.cluster.store.ports import ExchangeAnswer, ExchangeOrder, LeadershipStore, StoreListener
from rppam.config.settings import Settings
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import Instant
from rppam.process.crash_release import LastWord, LastWords


class CrashRelease:
    """The words of this moment, kept up to date."""

    def __init__(
        self, settings: Settings, redis: RedisParts | None, words: LastWords, entropy: Entropy, released: Releasing
    ) -> None:
        self._released = released
        self._settings, self._redis, self._words, self._entropy = settings, redis, words, entropy
        self._for_store: tuple[LastWord, ...] = ()
        self._for_members: tuple[LastWord, ...] = ()
        self._members_as_of: tuple[Candidacy, dict[str, tuple[str, int]], str, bytes] | None = None

    def release(self, records: Sequence[Record]) -> None:
        """These records shall be released; none: the node holds no record."""
        word = None
        if self._redis is not None:
            prefix = self._settings.redis.key_prefix
            word = release_word(self._redis.link, self._redis.tls, prefix, records, self._released)
        self._for_store = () if word is None else (word,)
        self._write()

    def look(self, status: Status, link: TlsMemberLink, now: Instant) -> None:
        """See whether the members have to be told something else than before."""
        as_of = None
        if status.phase in {Phase.CLAIMING, Phase.LEADER, Phase.STOPPING}:
            as_of = status.candidacy, dict(link.places), status.successor(now), link.credentials.own_pem
        if as_of == self._members_as_of:
            return
        self._members_as_of = as_of
        self._for_members = ()
        if as_of is not None:
            candidacy, places, successor, _ = as_of
            entropy = self._entropy
            self._for_members = freeing_words(link.options, link.credentials, places, candidacy, successor, entropy)
        self._write()

    def _write(self) -> None:
        words = [*self._for_store, *self._for_members]
        while not self._words.hand_over(words):  # too long: those of before must not stay, so the first half has to do
            words = words[: len(words) // 2]


class HandingStore:
    """Implements ``LeadershipStore`` on another one; hands over before a renewal leaves."""

    def __init__(self, store: LeadershipStore, testament: CrashRelease) -> None:
        self._store = store
        self._testament = testament

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
            self._testament.release([before, proposed] if before is not None and mine else [proposed])
        answer = await self._store.exchange(order, timeout_ms)
        if answer.granted and proposed is not None and proposed.state is not RecordState.HELD:
            self._testament.release([])
        return answer

    async def unregister(self, nodes: Sequence[str], timeout_ms: int) -> None:
        """See the port."""
        await self._store.unregister(nodes, timeout_ms)
