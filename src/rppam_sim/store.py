"""The store of the simulation: one record, with everything that Redis may do to it.

What a request does is decided by ``exchange``, the oracle of the real script. Around it: an
expiry by a wall clock that can step, loss of the last writes when the process dies, loss of everything, garbage. It
promises no more than Redis does; in particular it never forgets a write *while its process lives*.
"""

from collections import deque
from copy import copy
from typing import Final

from rppam.cluster.consensus.effects import Exchange, Found, Granted, Swap
from rppam.cluster.consensus.exchange import Exchanged, exchange
from rppam.cluster.consensus.record import Record, parse_record
from rppam.kernel.instant import US_PER_MS

LAG_US: Final = 3_000
LAG_MOST_US: Final = 1_500_000


class SimStore:
    """One Redis process after another, all with the same data directory."""

    record_ttl_ms: int | None = None
    """When set by a plant, the record's time to live; else ``ttl_ms`` decides, which is only garbage collection."""

    def __init__(self, ttl_ms: int) -> None:
        self.ttl_us = (self.record_ttl_ms or ttl_ms) * US_PER_MS
        self.text: str | None = None
        self.incarnation = 1
        self.down = False
        self.is_replicated = False
        """Whether a write counts only once a replica has confirmed it."""
        self.confirmed_until: int | None = None
        """Of a primary that was replaced: until when a replica that was not told goes on confirming its writes."""
        self.lags_until = self.unconfirmed_until = 0
        self.frozen_until = 0
        self.wall_offset_us = 0
        self._expires_us = 0
        self._history: deque[tuple[int, str | None]] = deque([(0, None)], maxlen=256)

    @property
    def identity(self) -> str:
        """The server's run id."""
        return f"run{self.incarnation}"

    def request(self, effect: Exchange, now_us: int) -> Granted | Found:
        """Carry out one exchange and answer it."""
        if self.text is not None and now_us + self.wall_offset_us >= self._expires_us:
            self.write(None, now_us)
        swap = effect.swap
        done = self.decide(self.text, swap, effect.mark, f"{max(0, now_us + self.wall_offset_us):013x}")
        if done.stands != self.text:
            self.write(done.stands, now_us)
        elif done.granted:
            self._expires_us = now_us + self.wall_offset_us + self.ttl_us
        if done.granted:
            return Granted(effect.request)
        record = parse_record(done.stands)
        assert record is not None, f"the script left something that is not a record: {done.stands!r}"
        return Found(effect.request, record, done.was_absent)

    def decide(self, stands: str | None, swap: Swap | None, mark: Record, stamp: str) -> Exchanged:
        """The meaning of the script; plants replace this."""
        if swap is None:
            return exchange(stands, None, None, mark.encode(), stamp)
        return exchange(stands, swap.expected.encode(), swap.proposed.encode(), mark.encode(), stamp)

    def write(self, text: str | None, now_us: int) -> None:
        """Whatever way the record changed, it is remembered until a crash forgets it."""
        self.text = text
        self._history.append((now_us, text))
        self._expires_us = now_us + self.wall_offset_us + self.ttl_us

    @property
    def history(self) -> tuple[tuple[int, str | None], ...]:
        """What stood here, and from when on."""
        return tuple(self._history)

    def highest_remembered(self) -> int:
        """The highest epoch of any record that a failover could bring back."""
        records = (parse_record(text) for _, text in self._history if text is not None)
        return max((record.epoch for record in records if record is not None), default=0)

    def keep(self, now_us: int) -> None:
        """What stands will not expire soon, whatever the store's clock did before."""
        self._expires_us = now_us + self.wall_offset_us + self.ttl_us

    def die(self, now_us: int, lost_us: int) -> None:
        """The process ends, and with it the writes of the last ``lost_us``."""
        self.down = True
        self.frozen_until = 0
        history = self._history
        while len(history) > 1 and history[-1][0] > now_us - lost_us:
            history.pop()
        self.text = history[-1][1]

    def start(self, now_us: int, incarnation: int) -> None:
        """A new process serves what was saved."""
        self.down = False
        self.incarnation = incarnation
        self._expires_us = max(self._expires_us, now_us + self.wall_offset_us + self.ttl_us // 2)

    def promoted(self, now_us: int, lost_us: int, incarnation: int) -> "SimStore":
        """A replica that takes this primary's place, and has not received the writes of the last ``lost_us``."""
        replica = copy(self)
        replica._history = deque(self._history, maxlen=256)  # noqa: SLF001  # its own
        replica.lags_until = replica.unconfirmed_until = 0
        replica.die(now_us, lost_us)
        replica.start(now_us, incarnation)
        return replica

    def confirmed_after_us(self, now_us: int, luck: float) -> int | None:
        """How long until a replica confirms a write made now; ``None``: none does."""
        if self.confirmed_until is not None and now_us >= self.confirmed_until:
            return None
        if self.unconfirmed_until > now_us:
            return None
        return int(luck * (LAG_MOST_US if self.lags_until > now_us else LAG_US))
