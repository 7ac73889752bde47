"""Until when a recording is kept, and by what: a hold, a legal hold, the class of its target, or the days of all.

It says what would be decided now: the setting, the tags of the target and the holds may be others when the time comes.
The leader deletes every ten minutes, so a recording may be there a little longer.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from rppam.db.store import SqlStore, reads
from rppam.kernel.instant import WallMs
from rppam.ledger.tables import DAY_MS, audit_holds
from rppam.recordings.model import Facts, Recording, State
from rppam.recordings.policy import RecordingRetention
from rppam.targets.errors import ResourceUnknown
from rppam.targets.store import resource_named

EVERYTHING: Final = ""
"""The word of a legal hold on all there is."""


class KeptBy(StrEnum):
    """Why a recording is kept."""

    LIVE = "live"
    """It goes on: its time begins with its end."""
    HOLD = "hold"
    LEGAL_HOLD = "legal-hold"
    TAG = "tag"
    DAYS = "days"
    NOTHING = "deleted"


class Kept(NamedTuple):
    """See the module."""

    by: KeptBy
    until: WallMs | None
    """``None``: without end, as long as what keeps it stands."""
    tag: str = ""
    """The tag of its target that decides."""


def kept(one: Recording, retention: RecordingRetention, tags: Iterable[str], held: Iterable[str]) -> Kept:
    """What keeps a recording; ``held`` are the words of the legal holds that stand."""
    if one.state is State.DELETED:
        return Kept(KeptBy.NOTHING, None)
    if one.hold:
        return Kept(KeptBy.HOLD, None)
    if not words_of(one.facts).isdisjoint(held):
        return Kept(KeptBy.LEGAL_HOLD, None)
    if one.state is State.LIVE:
        return Kept(KeptBy.LIVE, None)
    days, tag = retention.decided(tuple(tags))
    until = WallMs(one.changed + days * DAY_MS) if days else None
    return Kept(KeptBy.TAG if tag else KeptBy.DAYS, until, tag)


def words_of(facts: Facts) -> frozenset[str]:
    """By which of the legal holds a recording is kept."""
    return frozenset((facts.user, facts.target, EVERYTHING))


class SqlKeeping(SqlStore):
    """Every call raises a ``DatabaseError`` when the database does not answer."""

    @reads
    def of(self, connection: Connection, found: Iterable[Recording], retention: RecordingRetention) -> list[Kept]:
        """What keeps each of some recordings."""
        known = list(found)
        words = frozenset[str]().union(*(words_of(one.facts) for one in known))
        wanted = select(audit_holds.c.word).where(audit_holds.c.word.in_(words))
        held = frozenset(connection.execute(wanted).scalars()) if known else frozenset[str]()
        tags: Mapping[str, tuple[str, ...]] = {
            target: tags_of(connection, target) for target in {one.facts.target for one in known}
        }
        return [kept(one, retention, tags[one.facts.target], held) for one in known]


def tags_of(connection: Connection, target: str) -> tuple[str, ...]:
    """The tags that a target has now; none where it is gone."""
    try:
        return tuple(resource_named(connection, target).tags)
    except ResourceUnknown:
        return ()
