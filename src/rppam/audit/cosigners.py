"""Who has cosigned the ledger how far, in SQL; and the leader's part: it asks the witnesses, which have no database.

Decides whose cosignature is kept: one that verifies under the key that its member showed. A member's new key is
recorded in the ledger itself. A witness that does not believe the ledger is a finding in every node's
health: it is there to be believed, also alone.
"""

import json
import logging
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, Row, func, or_, select, update

from rppam.audit.keys import SigningKeys
from rppam.cluster.link.codec import CheckpointAnswer, CheckpointOffer
from rppam.db.database import Database
from rppam.db.engine import NowMs, insert_into
from rppam.kernel.actor import Actor, ActorKind
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import WallMs
from rppam.ledger.checkpoint import CheckpointRefused, cosigned_at, verifier_of
from rppam.ledger.cosigner import Adoption, Judged
from rppam.ledger.errors import LedgerRolledBack, LedgerUnwatched
from rppam.ledger.model import Entity
from rppam.ledger.record import record
from rppam.ledger.store import Signed, SqlLedger
from rppam.ledger.tables import DAY_MS, audit_cosigners, audit_events

log: Final = logging.getLogger("rppam.audit")

EVERY_S: Final = 2.0
RESET_TOLD_MS: Final = DAY_MS
"""For so long health names a member that began anew."""
_C: Final = audit_cosigners.c
_E: Final = audit_events.c


class Cosigned(NamedTuple):
    """How far one member has cosigned the ledger."""

    name: str
    """``rppam/CLUSTER-ID/NODE``."""
    key: str
    """Its public key as one word."""
    size: int
    line: str
    """The cosignature, a line for the note of the checkpoint of ``size``."""
    at: WallMs
    why: str
    """Why it does not believe what the database holds now; empty where it does."""


class SqlCosigners:
    """The table of cosigners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Cosigned]:
        """All that ever cosigned, in the order of their names."""
        wanted = select(audit_cosigners).order_by(_C.name)
        return await self._database.read(lambda connection: [_cosigned(row) for row in connection.execute(wanted)])

    async def current(self, size: int, within_ms: int) -> int:
        """How many have cosigned ``size`` events, or have cosigned within so long."""
        recent = or_(_C.size >= size, _C.at > NowMs() - within_ms)
        wanted = select(func.count()).select_from(audit_cosigners).where(_C.line != "", _C.why == "", recent)
        return await self._database.read(lambda connection: int(connection.execute(wanted).scalar_one()))

    async def keep(self, name: str, key: str, judged: Judged) -> None:
        """Keep what a member has said; a key that it did not have before is recorded."""

        def work(connection: Connection) -> None:
            known = connection.execute(select(_C.key).where(_C.name == name)).scalar_one_or_none()
            is_told = bool(judged.line and judged.life)
            recorded = _life_of(connection, name) if is_told else judged.life
            _record(connection, name, key if known != key else "", recorded, judged)
            facts: dict[str, Any] = {"key": key, "why": judged.why, "at": NowMs()}
            if judged.line:
                facts |= {"size": judged.size, "line": judged.line}
            row = {"size": 0, "line": "", **facts}
            upsert = insert_into(connection, audit_cosigners).values(name=name, **row)
            connection.execute(upsert.on_conflict_do_update(index_elements=[_C.name], set_=facts))

        await self._database.write(work)

    async def forget_refusals(self, but: frozenset[str]) -> None:
        """Nobody is warned of members that are none any more: all but these."""
        stale = _C.why != "", _C.name.not_in(but)
        if await self._database.read(lambda connection: connection.execute(select(_C.name).where(*stale)).first()):
            await self._database.write(
                lambda connection: connection.execute(update(audit_cosigners).where(*stale).values(why=""))
            )

    async def refusals(self) -> str:
        """A warning that names who cannot remember the ledger, and who began anew, or nothing.

        Raises :class:`LedgerRolledBack` where somebody does not believe it: as grave as where it is this node.
        """
        refused = [one for one in await self.all() if one.why]
        if doubts := _named(one for one in refused if one.key):
            raise LedgerRolledBack(f"the ledger is not the one that was seen by {doubts}")
        # Whoever cannot read or write what it has seen shows no key either.
        row, unwatched = LedgerUnwatched.row, _named(refused)
        told = f"{row.code}: no cosignature comes from {unwatched}. There: {row.remedy}" if unwatched else ""
        return joined(told, await self._resets())

    async def _resets(self) -> str:
        wanted = select(_E.object_id, _E.body).where(_E.action == "ledger.reset", _E.time > NowMs() - RESET_TOLD_MS)
        rows = await self._database.read(lambda connection: connection.execute(wanted.order_by(_E.seq)).all())
        # The newest of each.
        found = {row.object_id.rpartition("/")[2]: json.loads(row.body)["details"]["seen"] for row in rows}
        if not found:
            return ""
        told = ", ".join(f"{name} (it had cosigned {seen} events)" for name, seen in sorted(found.items()))
        return (
            f"within the last day these members had lost what they had seen of the ledger, and began anew: {told}; "
            "find out who emptied their data directory, and let 'rppam audit verify' read the ledger"
        )


class Witnesses(Protocol):
    """The way to the members that never lead."""

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Their names."""
        ...

    async def offer_checkpoint(self, to: str, offer: CheckpointOffer) -> CheckpointAnswer | None:
        """Ask for a cosignature; ``None`` where no answer came."""
        ...


class WitnessCosignatures:
    """The leader's part."""

    def __init__(
        self, ledger: SqlLedger, cosigners: SqlCosigners, link: Witnesses, keys: SigningKeys, entropy: Entropy
    ) -> None:
        self._ledger, self._cosigners, self._link = ledger, cosigners, link
        self._keys, self._entropy = keys, entropy
        self._noted: dict[str, str] = {}
        """The note that each witness cosigned last. Not read from the database, which may have been put back. One that
        refuses is asked again: its operator may have made it believe the ledger, and nothing has to be signed since."""

    async def work(self, _epoch: int) -> None:
        """One round. Raises a ``DatabaseError``, a ``LedgerError``."""
        newest, witnesses = await self._ledger.newest(), self._link.witnesses
        await self._cosigners.forget_refusals(frozenset(map(self._name, witnesses)))
        verifier = await self._keys.verifier()
        if newest is None or verifier is None:
            return
        for witness in witnesses:
            if self._noted.get(witness) != newest.note:
                await self._ask(witness, newest, verifier.text())

    def _name(self, witness: str) -> str:
        return f"{self._keys.origin}/{witness}"

    async def _ask(self, witness: str, newest: Signed, key: str) -> None:
        answer = await self._offer(witness, newest, key, 0)
        if answer is not None and not answer.line and not answer.why and answer.size <= newest.size:
            answer = await self._offer(witness, newest, key, answer.size)
        if answer is None or not (answer.line or answer.why):
            return
        adoption = Adoption(answer.adopted, answer.by, answer.before) if answer.adopted else None
        judged = Judged(answer.size, answer.line, answer.why, answer.life, adoption)
        if judged.line:
            try:
                verifier = verifier_of(answer.key)
                cosigned_at(newest.note + judged.line, verifier)
                if verifier.name != self._name(witness) or answer.size != newest.size:
                    raise CheckpointRefused(f"it is by {verifier.name} for {answer.size} events")
            except CheckpointRefused as error:
                log.error("The cosignature of the witness %s does not count: %s", witness, error)  # noqa: TRY400 - the cause is in the sentence
                return
        await self._cosigners.keep(self._name(witness), answer.key, judged)
        if judged.line:
            self._noted[witness] = newest.note

    async def _offer(self, witness: str, newest: Signed, key: str, since: int) -> CheckpointAnswer | None:
        proof = await self._ledger.consistency(since, newest.size)
        hashes = tuple(one.hex() for one in proof)
        offer = CheckpointOffer(self._entropy.nonce(), key, newest.note, since, hashes)
        return await self._link.offer_checkpoint(witness, offer)


def _record(connection: Connection, name: str, key: str, recorded: str, judged: Judged) -> None:
    """Record what is new of a member: its ``key``, if it has one that it did not have before, and its life."""
    target, is_new = Entity("ledger", name), judged.life != recorded
    life = {"life": judged.life} if judged.life else {}
    if key or (is_new and not recorded):
        record(connection, "ledger.cosigner", target, details=({"key": key} if key else {}) | life)
    if is_new and judged.adoption is not None:
        reason, by, before, _ = judged.adoption
        facts = {"seen": before, "adopted": judged.size, "node": name.rpartition("/")[2]} | life
        who = Actor(ActorKind.HOST, name=by)
        record(connection, "ledger.adopt", target, reason=reason, details=facts, actor=who)
    elif is_new and recorded:
        had = connection.execute(select(_C.size).where(_C.name == name)).scalar_one_or_none()
        record(connection, "ledger.reset", target, details={"seen": int(had or 0), "begins": judged.size} | life)


def _life_of(connection: Connection, name: str) -> str:
    """Of what a member remembers, as it was recorded last."""
    known = _E.action.in_(("ledger.cosigner", "ledger.adopt", "ledger.reset"))
    wanted = select(_E.body).where(_E.object_id == name, known).order_by(_E.seq.desc())
    for body in connection.execute(wanted).scalars():
        if life := json.loads(body)["details"].get("life"):
            return str(life)
    return ""


def joined(*told: str) -> str:
    """Join warnings into one, so that none hides another; what begins with a code is to be given first."""
    return ". Also: ".join(one.removesuffix(".") for one in told if one)


def _named(cosigners: Iterable[Cosigned]) -> str:
    return ", ".join(f"{one.name.rpartition('/')[2]} ({one.why})" for one in cosigners)


def _cosigned(row: Row[Any]) -> Cosigned:
    return Cosigned(row.name, row.key, row.size, row.line, WallMs(row.at), row.why)
