"""Recording: one row more in the transaction of the act, so that neither is there without the other.

Decides an event's text and its place in the chain of its writer. A writer is one connection of one process: its
transactions follow each other, so its events do, and nobody waits for anybody. A transaction that is undone ends its
writer, because the next event must not follow one that never was; the connection goes on as a new writer.

What it does not promise: that an event is in the tree already. The leader puts it there, within a second or so.
"""

import secrets
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, event, insert

from rppam.db.engine import NODE_OPTION, now_ms
from rppam.kernel.actor import Actor, current_actor
from rppam.ledger.events import ACTIONS
from rppam.ledger.merkle import leaf_hash
from rppam.ledger.model import FIRST, VERSION, Entity, Outcome, canonical, commitment
from rppam.ledger.tables import audit_events, audit_words

_WRITER: Final = "rppam_ledger_writer"
WORD_CHARS: Final = 256
REASON_CHARS: Final = 1_000
_WORDS_KNOWN: Final = 2_000
_SALT_BYTES: Final = 16


class _Writer:
    """The chain of one connection."""

    __slots__ = ("fresh", "id", "known", "next", "now_ms", "previous")

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.next = 0
        self.previous = FIRST
        self.known: OrderedDict[str, str] = OrderedDict()
        """Words whose commitment is in the database for certain."""
        self.fresh: dict[str, str] = {}
        """Those of the transaction that is open."""
        self.now_ms = 0
        """The database's time in it; 0 before it was asked."""


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
    catalogue does not have, ValueError for details with a float or bytes in them.
    """
    target = target or Entity(ACTIONS[action].object)
    who = actor or current_actor()
    writer: _Writer = connection.info.get(_WRITER) or _begin(connection)
    if not writer.now_ms:
        writer.now_ms = now_ms(connection)
    body = {
        "v": VERSION,
        "id": _uuid7(writer.now_ms),
        "time": writer.now_ms,
        "writer": writer.id,
        "number": writer.next,
        "previous": writer.previous,
        "node": connection.get_execution_options().get(NODE_OPTION, ""),
        "epoch": epoch,
        "action": action,
        "outcome": outcome,
        "reason": (reason or who.reason)[:REASON_CHARS],
        "details": dict(details or {}),
        **_who(connection, writer, who, target),
    }
    text = canonical(body)
    digest = leaf_hash(text.encode()).hex()
    connection.execute(_INSERT, _row(body, text, digest))
    writer.next += 1
    writer.previous = digest
    return str(body["id"])


def _who(connection: Connection, writer: _Writer, actor: Actor, target: Entity) -> dict[str, Any]:
    """The parts of an event that name somebody, by commitments."""
    return {
        "actor": {
            "kind": actor.kind,
            "id": actor.id,
            "name": _committed(connection, writer, actor.name),
            "session": actor.session,
            "address": _committed(connection, writer, actor.address),
        },
        "object": {"kind": target.kind, "id": target.id, "name": _committed(connection, writer, target.name)},
        "request": actor.request,
    }


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


_INSERT: Final = insert(audit_events)
_INSERT_WORD: Final = insert(audit_words)


def _begin(connection: Connection) -> _Writer:
    writer = connection.info[_WRITER] = _Writer()
    return writer


def _committed(connection: Connection, writer: _Writer, word: str) -> str:
    """The commitment to ``word``; the same while this writer remembers it, so that people can be searched for."""
    if not word:
        return ""
    word = word[:WORD_CHARS]
    ref = writer.fresh.get(word) or writer.known.get(word)
    if ref is None:
        salt = secrets.token_bytes(_SALT_BYTES)
        ref = writer.fresh[word] = commitment(salt, word)
        connection.execute(_INSERT_WORD, {"ref": ref, "salt": salt, "word": word})
    return ref


def _uuid7(now_ms: int) -> str:
    """RFC 9562, section 5.7."""
    value = (now_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


@event.listens_for(Engine, "commit")
def _ended(connection: Connection) -> None:
    """The transaction is about to be made good. Where that fails, a rollback follows."""
    writer: _Writer | None = connection.info.get(_WRITER)
    if writer is not None:
        writer.now_ms = 0
        if writer.fresh:
            writer.known.update(writer.fresh)
            writer.fresh = {}
            while len(writer.known) > _WORDS_KNOWN:
                writer.known.popitem(last=False)


@event.listens_for(Engine, "rollback")
def _undone(connection: Connection) -> None:
    if not connection.invalidated:  # else the connection has gone, and its writer with it
        connection.info.pop(_WRITER, None)
