"""What the leader tells of itself in the tree: in which epoch it leads, and how far each writer had come.

Decides when an event ``checkpoint.context`` is due: with the first batch of a leadership, then no sooner than
:data:`EVERY_US` after the last one, and only if something else got its place since. It stands at the end of its batch,
in the same transaction, so the very next signature covers it and it never waits for a place. Its chain is its own, and
it tells of all others: it makes no other event due, so an idle cluster writes none. What it does not promise: to tell
of an event that has no place in the tree yet.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, select

from rppam.kernel.system_clock import host_us
from rppam.ledger.record import Chain, new_chain
from rppam.ledger.tables import audit_events, audit_writers

ACTION: Final = "checkpoint.context"
EVERY_US: Final = 10_000_000
HEADS_MAX: Final = 64
"""So many writers are told of in one event; where there are more it is followed by another."""
LOOKED_AT_MAX: Final = 50_000
"""So many events before a batch are looked at: a leader of an earlier release may have told nothing for years, and the
transaction must not take longer than the database is given."""
_E, _W = audit_events.c, audit_writers.c

Head = tuple[str, int, str]
"""A writer, the number of its last event in the tree, and the hash of that."""


class Leading:
    """What a leader keeps in mind between two batches."""

    def __init__(self, node: str, origin: str, now_us: Callable[[], int] = host_us) -> None:
        """``origin``: of the ledger."""
        self.node: Final = node
        self.origin: Final = origin
        self._now_us = now_us
        self.chain = new_chain()
        """Of the events that this leader tells of itself."""
        self.note: str | None = None
        """Of the newest checkpoint, which this leader has signed itself or held against what it has seen; empty: there
        is none. ``None``: it has not looked yet, and signs nothing."""
        self._owes = False
        """Something got its place, and no event has told of it yet."""
        self._not_before_us = 0

    def begin(self) -> None:
        """A leadership begins. Others may have led since the last one, and of another database."""
        self.chain, self.note = new_chain(), None
        self._not_before_us = 0

    def is_due(self, *, batch: bool) -> bool:
        """Return whether to tell now; ``batch``: something gets its place now."""
        return (batch or self._owes) and self._now_us() >= self._not_before_us

    def placed(self, count: int, chain: Chain | None, note: str | None) -> None:
        """So many events got their place, and what was told with them goes up to ``chain``; ``None``: nothing was.

        ``note``: of the newest checkpoint now; ``None``: it was another one than expected, so nothing was done. What
        was told before may be gone as well then, with the database that was there, so a new writer goes on.
        """
        self.note = note
        if note is None:
            self.chain = new_chain()
        if chain is not None:
            self.chain, self._owes = chain, False
            self._not_before_us = self._now_us() + EVERY_US
        elif count:
            self._owes = True
        elif note is not None and self.is_due(batch=False):
            self._owes = False  # there was nothing to tell

    def lost(self) -> None:
        """A transaction failed, or nobody knows. What it told may be there or not: a new writer goes on."""
        self.chain, self.note = new_chain(), None


def untold_heads(connection: Connection, size: int) -> Iterator[Sequence[Head]]:
    """Of all writers that have events in the tree since the last ``checkpoint.context``, some at a time.

    ``size``: of the tree before this batch, which is where to begin if there has been none.
    """
    last = select(_E.leaf).where(_E.action == ACTION, _E.leaf.is_not(None)).order_by(_E.seq.desc()).limit(1)
    told = connection.execute(last).scalar_one_or_none()
    since = size if told is None else max(told + 1, size - LOOKED_AT_MAX)
    active = select(_E.writer).where(_E.leaf >= since, _E.action != ACTION)
    heads = select(_W.writer, _W.number, _W.hash).where(_W.writer.in_(active)).order_by(_W.writer)
    found = [(row.writer, row.number, row.hash) for row in connection.execute(heads)]
    for start in range(0, len(found), HEADS_MAX):
        yield found[start : start + HEADS_MAX]
