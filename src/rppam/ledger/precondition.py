"""``If-Match`` held against what stands in the database, inside the transaction of the change, and who was faster.

Decides when a change is refused with 412: its row is locked by then, so that of two who have read the same only one
changes it. Who made what stands is asked of the ledger, which has it in the very transaction of that change.

What it does not promise: a name that the ledger has forgotten, as it may after a year or at the wish of its owner.
"""

import json
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, or_, select

from rppam.http.errors import PreconditionFailedError
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import unwritten
from rppam.ledger.tables import audit_events, audit_words

_E, _W = audit_events.c, audit_words.c


def check_if_match(
    connection: Connection,
    if_match: Collection[int] | None,
    stands: int,
    target: Entity,
    actions: Collection[str],
    error: type[PreconditionFailedError] = PreconditionFailedError,
) -> None:
    """Let a change of ``target`` pass whose author has seen the revision that ``stands``; ``None``: any.

    ``actions`` are those that make a revision. Raises :class:`PreconditionFailedError`, or the ``error`` given.
    """
    if if_match is not None and stands not in if_match:
        raise error(stands, *_newest(connection, target, actions))


def _newest(connection: Connection, target: Entity, actions: Collection[str]) -> tuple[str, str]:
    """Who has done one of ``actions`` to it last, and when; empty where nobody knows."""
    # What was done to all of a kind at once names none of them.
    names = (target.id, "")
    waiting, words = unwritten(connection)
    for event in reversed(waiting):
        is_it = event["object_kind"] == target.kind and event["object_id"] in names
        if is_it and event["action"] in _that(actions, event["outcome"]):
            return _told(connection, event["body"], event["time"], words)
    which = _E.object_id.in_(names) & (_E.object_kind == target.kind)
    which &= or_(*(_E.action.in_(_that(actions, one)) & (_E.outcome == one.value) for one in Outcome))
    row = connection.execute(select(_E.body, _E.time).where(which).order_by(_E.seq.desc()).limit(1)).one_or_none()
    return ("", "") if row is None else _told(connection, row.body, row.time, words)


def _that(actions: Collection[str], outcome: str) -> list[str]:
    """Those that make a revision with this outcome: whoever was refused has made none, and a failure that has a name
    of its own is what happened."""
    return [one for one in actions if outcome == Outcome.SUCCESS or one.endswith(".fail")]


def _told(connection: Connection, body: str, time: int, words: Mapping[str, str]) -> tuple[str, str]:
    actor = json.loads(body)["actor"]
    ref = actor["name"]
    word = words.get(ref) or connection.execute(select(_W.word).where(_W.ref == ref)).scalar_one_or_none()
    return word or ("" if ref else actor["kind"]), iso_utc(WallMs(time))
