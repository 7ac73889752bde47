"""Recording: one row more in the transaction of the act, so that neither is there without the other.

Decides an event's text and its place in the chain of its writer. A writer is one connection of one process: its
transactions follow each other, so its events do, and nobody waits for anybody. Events are written when the transaction
is about to be made good, all at once; what a savepoint undoes is forgotten with it. A transaction that is undone ends
its writer, because the next event must not follow one that never was; the connection goes on as a new writer.

What it does not promise: that an event is in the tree already. The leader puts it there, within a second or so. The
database's clock is read once a second and carried on by this host's between: a step of it shows that much later.
"""

import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, event, insert
from sqlalchemy.exc import DBAPIError

from rppam.db.engine import NODE_OPTION, now_ms
from rppam.db.errors import DatabaseRefused, DatabaseValueRefused, NotRecorded
from rppam.db.refusal import first_line, translate
from rppam.kernel.actor import Actor, ActorKind, current_actor
from rppam.kernel.system_clock import host_us
from rppam.ledger.events import ACTIONS, Retention
from rppam.ledger.merkle import leaf_hash
from rppam.ledger.model import FIRST, VERSION, Entity, Outcome, Word, canonical, commitment
from rppam.ledger.tables import DAY_MS, audit_events, audit_words

_WRITER: Final = "rppam_ledger_writer"
_MARKS: Final = "rppam_ledger_marks"
"""Of each open savepoint, the outermost first, how many events and words there were."""
WORD_CHARS: Final = 256
REASON_CHARS: Final = 1_000
_WORDS_KNOWN: Final = 2_000
_SALT_BYTES: Final = 16
_CLOCK_HOLDS_US: Final = 1_000_000


_Known = tuple[Retention, int, str]
"""What a word is remembered by: the class of the events that it stands in, the day, and the word. So words of one class
age apart from those of others, and none is young because of an event of today."""


class Chain(NamedTuple):
    """How far a writer has come that is no connection: whoever keeps it gives it to :func:`record_placed`."""

    writer: str
    next: int = 0
    previous: str = FIRST


def new_chain() -> Chain:
    """The chain of a new writer."""
    return Chain(str(uuid.uuid4()))


class _Writer:
    """The chain of one connection."""

    __slots__ = ("clock_ms", "clock_us", "events", "fresh", "id", "known", "next", "previous", "settled")

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.next = 0
        self.previous = self.settled = FIRST
        """The hash of the last event, and of the last that is in the database for certain."""
        self.events: list[dict[str, Any]] = []
        """Those of the transaction that is open."""
        self.known: OrderedDict[_Known, str] = OrderedDict()
        """Words whose commitment is in the database for certain."""
        self.fresh: dict[_Known, dict[str, Any]] = {}
        """Those of the transaction that is open, each with its row."""
        self.clock_ms = self.clock_us = 0
        """What the database's clock showed when this host's showed that."""

    def now_ms(self, connection: Connection) -> int:
        """The database's time."""
        passed_us = host_us() - self.clock_us
        if not self.clock_us or passed_us > _CLOCK_HOLDS_US:
            self.clock_ms, self.clock_us = now_ms(connection), host_us()
            return self.clock_ms
        return self.clock_ms + passed_us // 1_000

    def forget(self, events: int, words: int) -> None:
        """Keep no more than so many of the open transaction's."""
        self.next -= len(self.events) - events
        del self.events[events:]
        self.previous = self.events[-1]["hash"] if self.events else self.settled
        for word in list(self.fresh)[words:]:
            del self.fresh[word]


def record(
    connection: Connection,
    action: str,
    target: Entity | None = None,
    *,
    outcome: Outcome = Outcome.SUCCESS,
    reason: str = "",
    epoch: int | None = None,
    details: Mapping[str, Any] | None = None,
    actor: Actor | None = None,
) -> str:
    """Write one event into the transaction of ``connection``; its id. Who acts is ``actor``, or :func:`current_actor`;
    why is ``reason``, or what they said.

    ``target`` is what it was done to (its kind defaults to the action's). Raises LookupError for an action that the
    catalogue does not have, ValueError for details with a float or bytes in them. A detail that tells of a person is a
    :class:`~rppam.ledger.model.Word`, or a list of them.
    """
    target = target or Entity(ACTIONS[action].object)
    who = actor or current_actor()
    if ACTIONS[action].routine and who.kind is not ActorKind.NODE:
        raise ValueError(f"{action} is what lists leave out, so it is nothing that a {who.kind} does")
    writer: _Writer = connection.info.get(_WRITER) or _begin(connection)
    time_ms = writer.now_ms(connection)
    kept = ACTIONS[action].retention, time_ms
    body = {
        "v": VERSION,
        "id": _uuid7(time_ms),
        "time": time_ms,
        "writer": writer.id,
        "number": writer.next,
        "previous": writer.previous,
        "node": connection.get_execution_options().get(NODE_OPTION, ""),
        "epoch": epoch,
        "action": action,
        "outcome": outcome,
        "reason": (reason or who.reason)[:REASON_CHARS],
        **_what(writer, details or {}, kept),
        **_who(writer, who, target, kept),
    }
    text = canonical(body)
    digest = leaf_hash(text.encode()).hex()
    writer.events.append(_row(body, text, digest))
    writer.next += 1
    writer.previous = digest
    return str(body["id"])


def record_placed(
    connection: Connection, chain: Chain, leaf: int, action: str, target: Entity, epoch: int, details: Mapping[str, Any]
) -> Chain:
    """Write one event at once, at its place ``leaf`` in the tree; ``chain`` with it at its end.

    For whoever appends to the tree in this transaction. Where that is undone, ``chain`` is not to be gone on with: what
    became of a commit may not be known.
    """
    held = connection.info.get(_WRITER)
    writer = _begin(connection)
    try:
        writer.id, writer.next, writer.previous = chain
        record(connection, action, target, epoch=epoch, details=details)
    finally:
        connection.info[_WRITER] = held
        if held is None:
            del connection.info[_WRITER]
    for row in writer.fresh.values():
        connection.execute(_INSERT_WORD, row)
    connection.execute(_INSERT, writer.events[0] | {"leaf": leaf})
    return Chain(writer.id, writer.next, writer.previous)


def unwritten(connection: Connection) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Events of the open transaction, which the database has not got yet, as rows; and by ref the words in them.

    Several changes may share a transaction, each in a savepoint of its own.
    """
    writer: _Writer | None = connection.info.get(_WRITER)
    if writer is None:
        return [], {}
    fresh = {str(row["ref"]): str(row["word"]) for row in writer.fresh.values()}
    return writer.events, fresh | {ref: word for (_, _, word), ref in writer.known.items()}


def _who(writer: _Writer, actor: Actor, target: Entity, kept: tuple[Retention, int]) -> dict[str, Any]:
    """The parts of an event that name somebody, by commitments; ``kept``: its class, and its time."""
    return {
        "actor": {
            "kind": actor.kind,
            "id": actor.id,
            "name": _committed(writer, actor.name, *kept),
            "session": actor.session,
            "address": _committed(writer, actor.address, *kept),
        },
        "object": {"kind": target.kind, "id": target.id, "name": _committed(writer, target.name, *kept)},
        "request": actor.request,
    }


def _what(writer: _Writer, details: Mapping[str, Any], kept: tuple[Retention, int]) -> dict[str, Any]:
    """The details, with commitments in place of words, and which these are."""
    found, committed = dict(details), []
    for name, value in details.items():
        if isinstance(value, Word):
            found[name] = _committed(writer, value, *kept)
        elif isinstance(value, list) and value and all(isinstance(one, Word) for one in value):
            found[name] = [_committed(writer, one, *kept) for one in value]
        else:
            continue
        committed.append(name)
    return {"details": found, "committed": committed} if committed else {"details": found}


def _row(body: Mapping[str, Any], text: str, digest: str) -> dict[str, Any]:
    return {
        "id": body["id"],
        "hash": digest,
        "writer": body["writer"],
        "number": body["number"],
        "time": body["time"],
        "action": body["action"],
        "actor": body["actor"]["name"],
        "object_kind": body["object"]["kind"],
        "object_id": body["object"]["id"][:WORD_CHARS],
        "object_name": body["object"]["name"],
        "outcome": body["outcome"].value,
        "body": text,
    }


_INSERT: Final = insert(audit_events).inline()
_INSERT_WORD: Final = insert(audit_words).inline()


def _begin(connection: Connection) -> _Writer:
    writer = connection.info[_WRITER] = _Writer()
    return writer


def _committed(writer: _Writer, word: str, kept: Retention, time_ms: int) -> str:
    """The commitment to ``word``; the same while this writer remembers it, so that people can be searched for."""
    if not word:
        return ""
    word = word[:WORD_CHARS]
    key = kept, time_ms // DAY_MS, word
    if key in writer.fresh:
        return str(writer.fresh[key]["ref"])
    if key not in writer.known:
        salt = secrets.token_bytes(_SALT_BYTES)
        row = {"ref": commitment(salt, word), "salt": salt, "word": word, "retention": kept.value, "made_at": time_ms}
        writer.fresh[key] = row
        return str(row["ref"])
    return writer.known[key]


def _uuid7(now_ms: int) -> str:
    """RFC 9562, section 5.7."""
    value = (now_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


@event.listens_for(Engine, "commit")
def _commits(connection: Connection) -> None:
    """The transaction is about to be made good. Where that fails, a rollback follows."""
    writer: _Writer | None = connection.info.get(_WRITER)
    connection.info.pop(_MARKS, None)
    if writer is None or not writer.events:
        return
    try:
        for statement, rows in ((_INSERT_WORD, list(writer.fresh.values())), (_INSERT, writer.events)):
            if rows:
                connection.execute(statement, rows if len(rows) > 1 else rows[0])
    except DBAPIError as error:
        raise _why_not(error) from error
    writer.known.update((word, row["ref"]) for word, row in writer.fresh.items())
    while len(writer.known) > _WORDS_KNOWN:
        writer.known.popitem(last=False)
    writer.settled, writer.events, writer.fresh = writer.previous, [], {}


def _why_not(error: DBAPIError) -> BaseException:
    """Nothing of the transaction stands where the database takes no event; whoever asked is not blamed for that."""
    why = translate(error, begun=True, writes=True)
    if not isinstance(why, DatabaseRefused | DatabaseValueRefused):
        return error  # it is away, or busy: that is told as it is everywhere
    refused = NotRecorded(f"what was asked for was not done, as the ledger cannot record it: {first_line(error)}")
    refused.finding = why.finding if isinstance(why, DatabaseRefused) else ""
    return refused


@event.listens_for(Engine, "rollback")
def _undone(connection: Connection) -> None:
    if not connection.invalidated:  # else the connection has gone, and its writer with it
        connection.info.pop(_MARKS, None)
        connection.info.pop(_WRITER, None)


@event.listens_for(Engine, "savepoint")
def _marked(connection: Connection, _name: str | None) -> None:
    writer: _Writer | None = connection.info.get(_WRITER)
    mark = (0, 0) if writer is None else (len(writer.events), len(writer.fresh))
    connection.info.setdefault(_MARKS, []).append(mark)


@event.listens_for(Engine, "release_savepoint")
def _kept(connection: Connection, _name: str, _context: object) -> None:
    if marks := connection.info.get(_MARKS):
        marks.pop()


@event.listens_for(Engine, "rollback_savepoint")
def _undone_in_part(connection: Connection, _name: str, _context: object) -> None:
    if connection.invalidated:
        return
    marks: list[tuple[int, int]] = connection.info.get(_MARKS, [])
    events, words = marks.pop() if marks else (0, 0)
    writer: _Writer | None = connection.info.get(_WRITER)
    if writer is not None:
        writer.forget(events, words)
