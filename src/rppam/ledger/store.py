"""The ledger in SQL: reading it, and putting committed events into the tree.

Decides which events get which place: in the order of their rows, each after the event before it of the same writer. An
event that does not fit its writer's chain stops the integration, and is named. One transaction takes up to
:data:`BATCH` events, behind the fence.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, func, insert, or_, select, update

from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.engine import NowMs, insert_into, now_ms
from rppam.db.fence import require_leadership
from rppam.kernel.instant import WallMs
from rppam.ledger.checkpoint import Checkpoint, Signer, signed
from rppam.ledger.errors import EventUnknown, LedgerBroken
from rppam.ledger.events import ACTIONS
from rppam.ledger.leading import ACTION, Leading, untold_heads
from rppam.ledger.merkle import Frontier, Hashes, consistency_proof, inclusion_proof
from rppam.ledger.model import FIRST, Entity, Event, Remains, refs_of
from rppam.ledger.record import Chain, record_placed
from rppam.ledger.tables import (
    audit_archived,
    audit_checkpoints,
    audit_events,
    audit_nodes,
    audit_words,
    audit_writers,
)

BATCH: Final = 512
_E: Final = audit_events.c


class Query(NamedTuple):
    """Which events are asked for."""

    action: str | None = None
    """Exact, or a prefix that ends with a dot: ``user.``."""
    actor: str | None = None
    """The name."""
    object: str | None = None
    """Id, name or kind."""
    since: WallMs | None = None
    until: WallMs | None = None
    after: int | None = None
    """Index of the last event that is known already."""
    newest: bool = False
    """The newest first, without ``after``."""
    limit: int = 100
    placed: bool = False
    """Only events that have their place in the tree."""
    archived: bool = False
    """With what remains of those that were pruned; no other condition then."""
    bare: bool = False
    """Without what the commitments stand for, which no hash needs."""
    routine: bool = True
    """With the cluster's own bookkeeping, which is left out otherwise unless ``action`` asks for it."""

    def left_out(self) -> tuple[str, ...]:
        """The actions that it leaves out."""
        return () if self.routine or self.action is not None else ACTIONS.routine()


class Signed(NamedTuple):
    """A checkpoint as it is kept."""

    size: int
    frontier: Frontier
    epoch: int
    node: str
    made_at: WallMs
    note: str


@dataclass(frozen=True, slots=True)
class Proof:
    """That an event is in the ledger."""

    index: int
    leaf: bytes
    path: Sequence[bytes]
    signed: Signed


class SqlLedger:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def integrate(
        self, authority: Authority, node: str, origin: str, signer: Signer, leading: Leading | None = None
    ) -> int:
        """Put events that wait into the tree, with what ``leading`` has to tell of it, and sign it; how many waited.

        Nothing is done where the newest checkpoint is not the one that ``leading`` knows.
        Raises :class:`~rppam.http.errors.FencedError` where a newer leader has written, :class:`LedgerBroken`, a
        ``DatabaseError``.
        """

        def work(connection: Connection) -> tuple[int, Chain | None, str | None]:
            newest = _newest(connection)
            before = newest.note if newest else ""
            if leading is not None and leading.note != before:
                return 0, None, None
            tree = newest.frontier if newest else Frontier()
            waiting = connection.execute(_WAITING).all()
            size, told = tree.size, None
            _append(connection, tree, waiting)
            if leading is not None and leading.is_due(batch=bool(waiting)):
                told = _tell(connection, tree, size, leading, authority.epoch)
            if tree.size == size:
                return 0, None, before
            # Last, so that leadership's own use of the fence waits for no batch. Two leaders at once take the same
            # places: the later one meets those of the earlier one, or the fence.
            require_leadership(connection, authority.epoch, node, authority.boot_id)
            note = signed(Checkpoint(origin, tree.size, tree.root()), signer)
            row = {"size": tree.size, "frontier": tree.pack(), "epoch": authority.epoch, "node": node, "note": note}
            connection.execute(insert(audit_checkpoints).values(**row, made_at=NowMs()))
            return len(waiting), told, note

        # Looked at first: an idle cluster writes nothing.
        is_due = leading is not None and leading.is_due(batch=False)
        if not is_due and not await self._database.read(lambda one: one.execute(_WAITING.limit(1)).first()):
            return 0
        try:
            count, told, note = await self._database.write(work)
        except BaseException:
            if leading is not None:
                leading.lost()
            raise
        if leading is not None:
            leading.placed(count, told, note)
        return count

    async def events(self, query: Query) -> list[Event]:
        """Events in the order of the tree, at the end those that wait for their place; or the newest first."""

        def work(connection: Connection) -> list[Event]:
            if query.newest:
                return _newest_first(connection, query, None)[0]
            where, read = _conditions(query), _bare if query.bare else _with_words
            events = select(_E.body, _E.leaf, _E.hash).where(*where).limit(query.limit)
            after = -1 if query.after is None else query.after
            # Those that wait are read first: one that gets its place meanwhile is found there, with all before it.
            wanted = events.where(_E.leaf.is_(None)).order_by(_E.seq)
            waiting = [] if query.placed else read(connection, connection.execute(wanted).all())
            wanted = events.where(_E.leaf > after).order_by(_E.leaf)
            found = read(connection, connection.execute(wanted).all())
            if query.archived:
                found = _merged(found, _remains(connection, after, query.limit))[: query.limit]
            if waiting and len(found) < query.limit:
                known = {event.text for event in found}
                found += [event for event in waiting if event.text not in known][: query.limit - len(found)]
            return found

        return await self._database.read(work)

    async def newest_first(self, query: Query, before: int | None = None) -> tuple[list[Event], int | None]:
        """A page of the newest events, and what the next one goes on ``before``; ``None``: there is no older one."""
        return await self._database.read(lambda connection: _newest_first(connection, query, before))

    async def newest(self) -> Signed | None:
        """The newest checkpoint; ``None`` where nothing was integrated yet."""
        return await self._database.read(_newest)

    async def signed_at(self, size: int) -> Signed:
        """The checkpoint of this size. Raises :class:`EventUnknown`."""
        wanted = select(audit_checkpoints).where(audit_checkpoints.c.size == size)
        row = await self._database.read(lambda connection: connection.execute(wanted).one_or_none())
        if row is None:
            raise EventUnknown(f"no checkpoint of {size} events was signed")
        return _signed(row)

    async def checkpoints(self, below: int | None, count: int) -> list[Signed]:
        """Checkpoints, the newest first; ``below`` the size of the last one that is known already."""
        wanted = select(audit_checkpoints).order_by(audit_checkpoints.c.size.desc()).limit(count)
        if below is not None:
            wanted = wanted.where(audit_checkpoints.c.size < below)
        return await self._database.read(lambda connection: [_signed(row) for row in connection.execute(wanted)])

    async def proof(self, index: int) -> Proof:
        """That the event at ``index`` is in the newest tree. Raises :class:`EventUnknown`."""

        def work(connection: Connection) -> Proof:
            newest = _newest(connection)
            if newest is None or not 0 <= index < newest.size:
                size = newest.size if newest else 0
                raise EventUnknown(f"expected an index below {size}, found {index}")
            hashes = reader(connection)
            return Proof(index, hashes(0, index, 1)[0], inclusion_proof(index, newest.size, hashes), newest)

        return await self._database.read(work)

    async def consistency(self, old: int, size: int) -> list[bytes]:
        """That the tree of ``old`` events is the beginning of that of ``size``. Raises :class:`EventUnknown`."""

        def work(connection: Connection) -> list[bytes]:
            newest = _newest(connection)
            most = 0 if newest is None else newest.size
            if not 0 <= old <= size <= most:
                raise EventUnknown(f"expected two sizes of at most {most}, the smaller first")
            return consistency_proof(old, size, reader(connection))

        return await self._database.read(work)

    async def waiting(self) -> tuple[int, WallMs | None, WallMs]:
        """How many events have no place yet, when the oldest of them was recorded, and the database's time."""

        def work(connection: Connection) -> tuple[int, WallMs | None, WallMs]:
            counted = select(func.count(), func.min(_E.time)).where(_E.leaf.is_(None))
            count, oldest = connection.execute(counted).one()
            return int(count), None if oldest is None else WallMs(oldest), WallMs(now_ms(connection))

        return await self._database.read(work)

    async def flaw_waiting(self) -> str:
        """Why the next events could not be put into the tree; empty when they could.

        Read while a leader integrates, it may tell a flaw that is none: only one that stays is one.
        """

        def work(connection: Connection) -> str:
            waiting: Sequence[Any] = connection.execute(_WAITING).all()
            return _first_flaw(waiting, _last_of(connection, waiting)) if waiting else ""

        return await self._database.read(work)


_WAITING: Final = (
    select(_E.seq, _E.id, _E.hash, _E.writer, _E.number, _E.body).where(_E.leaf.is_(None)).order_by(_E.seq).limit(BATCH)
)
_PLACE: Final = update(audit_events).where(_E.seq == bindparam("row")).values(leaf=bindparam("place"))


def reader(connection: Connection) -> Hashes:
    """The hashes of the tree in the database. Raises :class:`LedgerBroken` where one is missing."""

    def hashes(level: int, start: int, count: int) -> list[bytes]:
        if level == 0:
            end = start + count - 1
            wanted = select(_E.leaf, _E.hash).where(_E.leaf.between(start, end)).order_by(_E.leaf)
            found = [(row.leaf, bytes.fromhex(row.hash)) for row in connection.execute(wanted)]
            if len(found) < count:
                gone = select(audit_archived.c.leaf, audit_archived.c.hash).where(
                    audit_archived.c.leaf.between(start, end)
                )
                # One that was pruned between the two readings is in both.
                found = sorted({row.leaf: bytes(row.hash) for row in connection.execute(gone)}.items() | set(found))
        else:
            nodes = audit_nodes.c
            inside = nodes.position.between(start, start + count - 1)
            wanted = select(nodes.position, nodes.hash).where(nodes.level == level, inside).order_by(nodes.position)
            found = [(row.position, bytes(row.hash)) for row in connection.execute(wanted)]
        if [place for place, _ in found] != list(range(start, start + count)):
            raise LedgerBroken(f"expected {count} hashes of level {level} from {start} on, found {len(found)}")
        return [one for _, one in found]

    return hashes


def flaw_of(row: Row[Any], last: tuple[int, str] | None) -> str:
    """Why the event of a row is not what its writer recorded after ``last`` (number and hash); empty when it is."""
    event = Event(row.body, None, {})
    if event.hash.hex() != row.hash:
        return "its text is not the one that was hashed"
    body = event.body
    if (body["id"], body["writer"], body["number"]) != (row.id, row.writer, row.number):
        return "the columns beside its text do not agree with it"
    number, previous = (0, FIRST) if last is None else (last[0] + 1, last[1])
    if row.number != number:
        return f"expected event {number} of its writer, found {row.number}"
    if body["previous"] != previous:
        return "it does not follow from the event before it"
    if body["action"] == ACTION:
        return "an event of this kind never waits for its place, so no leader has written it"
    return ""


def _last_of(connection: Connection, waiting: Sequence[Row[Any]]) -> dict[str, tuple[int, str]]:
    """The number and hash of the last event in the tree of each writer that has some waiting."""
    writers = {row.writer for row in waiting}
    known = select(audit_writers).where(audit_writers.c.writer.in_(writers))
    return {row.writer: (row.number, row.hash) for row in connection.execute(known)}


def _first_flaw(waiting: Sequence[Row[Any]], last: dict[str, tuple[int, str]]) -> str:
    """What is wrong with the first event that does not follow from ``last``, which is carried on; empty for nothing."""
    for row in waiting:
        if flaw := flaw_of(row, last.get(row.writer)):
            return f"event {row.id} (row {row.seq}, writer {row.writer}): {flaw}"
        last[row.writer] = (row.number, row.hash)
    return ""


def _append(connection: Connection, tree: Frontier, waiting: Sequence[Any]) -> None:
    if not waiting:
        return
    last = _last_of(connection, waiting)
    if flaw := _first_flaw(waiting, last):
        raise LedgerBroken(flaw)
    places, nodes = [], []
    for row in waiting:
        places.append({"row": row.seq, "place": tree.size})
        nodes += _grown(tree, row.hash)
    connection.execute(_PLACE, places)
    _keep(connection, nodes, last)


def _tell(connection: Connection, tree: Frontier, size: int, leading: Leading, epoch: int) -> Chain | None:
    """Append how far the writers have come since it was told last; ``None`` where none of them has."""
    told, nodes, target = leading.chain, [], Entity("ledger", leading.origin)
    for heads in untold_heads(connection, size):
        facts = {"leader": leading.node, "heads": heads}
        told = record_placed(connection, told, tree.size, ACTION, target, epoch, facts)
        nodes += _grown(tree, told.previous)
    if told is leading.chain:
        return None
    _keep(connection, nodes, {told.writer: (told.next - 1, told.previous)})
    return told


def _grown(tree: Frontier, digest: str) -> list[dict[str, Any]]:
    """Append a leaf; the rows of what is complete now."""
    return [
        {"level": level, "position": position, "hash": one}
        for level, position, one in tree.append(bytes.fromhex(digest))
    ]


def _keep(connection: Connection, nodes: Sequence[dict[str, Any]], last: dict[str, tuple[int, str]]) -> None:
    writers = audit_writers.c
    if nodes:
        connection.execute(insert(audit_nodes), nodes)
    heads = insert_into(connection, audit_writers)
    heads = heads.on_conflict_do_update(
        index_elements=[writers.writer], set_={"number": heads.excluded.number, "hash": heads.excluded.hash}
    )
    connection.execute(
        heads, [{"writer": writer, "number": number, "hash": one} for writer, (number, one) in last.items()]
    )


def _remains(connection: Connection, after: int, limit: int) -> list[Event]:
    """Of the first pruned events behind ``after``."""
    gone = audit_archived.c
    wanted = select(audit_archived).where(gone.leaf > after).order_by(gone.leaf).limit(limit)
    return [
        Event("", row.leaf, {}, Remains(bytes(row.hash).hex(), row.writer, row.number, row.batch))
        for row in connection.execute(wanted)
    ]


def _merged(events: Sequence[Event], remains: Sequence[Event]) -> list[Event]:
    """In the order of the tree. One that was pruned between the two readings is in both."""
    found = {one.index or 0: one for one in (*remains, *events)}
    return [found[index] for index in sorted(found)]


def _newest(connection: Connection) -> Signed | None:
    wanted = select(audit_checkpoints).order_by(audit_checkpoints.c.size.desc()).limit(1)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _signed(row)


def _signed(row: Row[Any]) -> Signed:
    try:
        frontier = Frontier.unpack(row.size, bytes(row.frontier))
    except ValueError as error:
        raise LedgerBroken(f"checkpoint {row.size}: {error}") from None
    return Signed(row.size, frontier, row.epoch, row.node, WallMs(row.made_at), row.note)


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if query.action is not None:
        is_prefix = query.action.endswith(".")
        where.append(_E.action.startswith(query.action, autoescape=True) if is_prefix else _E.action == query.action)
    if query.actor is not None:
        where.append(_E.actor.in_(_refs(query.actor)))
    if query.object is not None:
        named = _E.object_name.in_(_refs(query.object))
        where.append(or_(_E.object_id == query.object, _E.object_kind == query.object, named))
    if left_out := query.left_out():
        where.append(_E.action.not_in(left_out))
    if query.since is not None:
        where.append(_E.time >= query.since)
    if query.until is not None:
        where.append(_E.time < query.until)
    return where


def _newest_first(connection: Connection, query: Query, before: int | None) -> tuple[list[Event], int | None]:
    where, read = _conditions(query), _bare if query.bare else _with_words
    if before is not None:
        where.append(_E.seq < before)
    # One more tells whether there is another page. By the row's number: an event may get its place between two pages.
    wanted = select(_E.body, _E.leaf, _E.hash, _E.seq).where(*where).order_by(_E.seq.desc()).limit(query.limit + 1)
    rows = connection.execute(wanted).all()
    shown = rows[: query.limit]
    return read(connection, shown), shown[-1].seq if len(rows) > len(shown) else None


def _refs(word: str) -> Select[tuple[str]]:
    return select(audit_words.c.ref).where(audit_words.c.word == word)


def _bare(_: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Event]:
    return [Event(row.body, row.leaf, {}, noted=row.hash) for row in rows]


def _with_words(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Event]:
    refs = set()
    for row in rows:
        refs |= refs_of(json.loads(row.body))
    wanted = select(audit_words.c.ref, audit_words.c.word).where(audit_words.c.ref.in_(refs))
    words = {row.ref: row.word for row in connection.execute(wanted)} if refs else {}
    return [Event(row.body, row.leaf, words, noted=row.hash) for row in rows]
