"""Rotations in SQL. Each step of an owner is one transaction, fenced by the generation that it has.

What an owner has written is the ground on which the next one goes on: see :mod:`rppam.rotation.machine`.
"""

import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row, and_, exists, func, insert, or_, select, update

from rppam.db.engine import NowMs, insert_into, now_ms, rows_changed
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.ledger.model import Entity, Outcome
from rppam.ledger.record import record
from rppam.rotation.errors import NotRotatable, RotationLost, RotationUnderWay
from rppam.rotation.machine import OPEN, Phase, Run, Settle
from rppam.rotation.model import (
    FIELD,
    KINDS,
    LEASE_MS,
    OTHERS_MAX,
    PROBLEM_CHARS,
    TYPES,
    Cause,
    Rotation,
    Rules,
    delay_ms,
    why_not,
)
from rppam.rotation.tables import rotation_rules, rotations
from rppam.targets.model import ResourceKind
from rppam.targets.tables import resources, target_accounts
from rppam.vault.candidate_store import fail_version, make_current, stage_version
from rppam.vault.checkout_store import holder_in
from rppam.vault.errors import EntryUnknown
from rppam.vault.model import Entry, EntryState
from rppam.vault.sealing import Keyring
from rppam.vault.store import entity_of, entries_wanted, entry_in, entry_of, open_version, set_state
from rppam.vault.tables import checkouts, vault_entries, vault_folders, vault_versions

_O: Final = rotations.c
_P: Final = rotation_rules.c
_E: Final = vault_entries.c
_V: Final = vault_versions.c
_C: Final = checkouts.c
_A: Final = target_accounts.c
_T: Final = resources.c
DUE_MAX: Final = 100
PAGE: Final = 200


class Claimed(NamedTuple):
    """A rotation that this owner works on."""

    id: str
    generation: int
    entry: Entry
    kind: ResourceKind
    target_id: str
    target: str
    host: str
    port: int
    trust: str
    username: str
    rules: Rules
    run: Run
    attempts: int
    cause: Cause


# ---- what shall be ---------------------------------------------------------------------------------------------------


def rules_in(connection: Connection, entry_id: str) -> Rules:
    """Those of an entry, or the defaults."""
    row = connection.execute(select(rotation_rules).where(_P.entry_id == entry_id)).one_or_none()
    if row is None:
        return Rules()
    return Rules(row.enabled, row.every_hours, row.by_entry_id, row.length, row.without, row.revision)


def put_rules(connection: Connection, entry: Entry, rules: Rules) -> Rules:
    """Set them; as they are now."""
    made = rules._replace(revision=rules_in(connection, entry.id).revision + 1)
    new = insert_into(connection, rotation_rules).values(entry_id=entry.id, **made._asdict())
    connection.execute(new.on_conflict_do_update(index_elements=[_P.entry_id], set_=made._asdict()))
    facts = {name: value for name, value in made._asdict().items() if name != "revision"}
    record(connection, "rotation.rules", entity_of(entry), details=facts | {"by_entry_id": made.by_entry_id or ""})
    return made


def kind_in(connection: Connection, entry: Entry) -> tuple[ResourceKind | None, str]:
    """The kind of the target that an entry is for, and its name."""
    if entry.resource_id is None:
        return None, ""
    row = connection.execute(select(_T.kind, _T.name).where(_T.id == entry.resource_id)).one_or_none()
    return (None, "") if row is None else (ResourceKind(row.kind), row.name)


def open_rotation(connection: Connection, entry: Entry, cause: Cause, reason: str = "") -> str:
    """Have the secret of an entry changed; the rotation's id. The entry's row is locked.

    Raises :class:`NotRotatable`, :class:`RotationUnderWay`.
    """
    kind, target = kind_in(connection, entry)
    if problem := why_not(entry, kind):
        raise NotRotatable(problem)
    held = holder_in(connection, entry.id)
    if held is not None:
        raise RotationUnderWay(f"{held.holder.name} has it checked out; force the check-in first")
    there = connection.execute(select(rotations).where(_O.entry_id == entry.id, _O.ended_at.is_(None))).one_or_none()
    if there is not None:
        if cause is not Cause.ORDER or there.lease_until > now_ms(connection):
            raise RotationUnderWay(f"it is being changed already ({there.phase})")
        connection.execute(update(rotations).where(_O.id == there.id).values(not_before=NowMs()))
        record(connection, "rotation.order", entity_of(entry), reason=reason)
        return str(there.id)
    ident = str(uuid.uuid4())
    row = {
        "id": ident, "entry_id": entry.id, "target": target, "cause": cause.value, "phase": Phase.WAITING.value,
        "staged": None, "attempts": 0, "problem": "", "generation": 0,
        "owner": "", "lease_until": 0, "not_before": 0,
    }  # fmt: skip
    connection.execute(insert(rotations).values(**row, created_at=NowMs(), changed_at=NowMs()))
    if cause is Cause.ORDER:
        record(connection, "rotation.order", entity_of(entry), reason=reason)
    return ident


def open_due(connection: Connection) -> int:
    """Begin what is due: entries that were used, and those whose time has come; how many."""
    found = connection.execute(_due().limit(DUE_MAX)).all()
    for ident in sorted(row.id for row in found):  # who locks several entries takes them in this order
        entry = entry_in(connection, ident, lock=True)
        used = entry.state is EntryState.PENDING_ROTATION
        open_rotation(connection, entry, Cause.USE if used else Cause.SCHEDULE)
    return len(found)


def is_something_due(connection: Connection) -> bool:
    """Whether :func:`open_due` or :func:`claim` would find something."""
    if connection.execute(_due().limit(1)).first() is not None:
        return True
    return connection.execute(select(_O.id).where(_ready()).limit(1)).first() is not None


def _due() -> Any:
    joined = vault_entries.join(target_accounts, _E.account_id == _A.id).join(resources, _A.resource_id == _T.id)
    joined = joined.outerjoin(rotation_rules, _P.entry_id == _E.id)
    under_way = exists().where((_O.entry_id == _E.id) & _O.ended_at.is_(None))
    held = exists().where((_C.entry_id == _E.id) & _C.ended_at.is_(None) & (_C.expires_at > NowMs()))
    used = (_E.state == EntryState.PENDING_ROTATION.value) & func.coalesce(_P.enabled, True)
    old = _P.enabled & (_P.every_hours > 0) & (_E.changed_at < NowMs() - _P.every_hours * 3_600_000)
    fits = _T.kind.in_(sorted(KINDS)) & _E.type.in_(sorted(TYPES)) & (_E.version > 0)
    return select(_E.id).select_from(joined).where(fits, or_(used, old), ~under_way, ~held).order_by(_E.changed_at)


def _ready() -> Any:
    held = exists().where((_C.entry_id == _O.entry_id) & _C.ended_at.is_(None) & (_C.expires_at > NowMs()))
    untouched = _O.phase == Phase.WAITING.value
    return and_(_O.ended_at.is_(None), _O.not_before <= NowMs(), _O.lease_until <= NowMs(), ~(untouched & held))


# ---- the owner's steps -----------------------------------------------------------------------------------------------


def claim(connection: Connection, node: str) -> Claimed | None:
    """Take the rotation that has waited longest, for as long as the lease; ``None``: there is none."""
    row = connection.execute(select(rotations).where(_ready()).order_by(_O.not_before).limit(1)).one_or_none()
    if row is None:
        return None
    mine = (_O.id == row.id) & (_O.generation == row.generation) & _ready()
    taken = update(rotations).where(mine).values(
        generation=row.generation + 1, owner=node, lease_until=NowMs() + LEASE_MS, changed_at=NowMs()
    )  # fmt: skip
    if rows_changed(connection, taken) != 1:
        return None
    return _claimed(connection, row, int(row.generation) + 1)


def _claimed(connection: Connection, row: Row[Any], generation: int) -> Claimed | None:
    wanted = entries_wanted().add_columns(
        _A.name.label("username"), _T.id.label("target_id"), _T.name.label("target"), _T.kind, _T.address, _T.port,
        _T.host_key_policy,
    )  # fmt: skip
    joined = wanted.join(resources, _A.resource_id == _T.id).where(_E.id == row.entry_id)
    found = connection.execute(joined).one_or_none()
    if found is None:
        _end(connection, row.id, row.entry_id, generation, "its entry belongs to no target any more")
        return None
    entry, rules = entry_of(found), rules_in(connection, row.entry_id)
    known = (entry.version,) if row.staged is None else (entry.version, row.staged)
    others = select(_V.version).where(_V.entry_id == entry.id, _V.version.not_in(known)).order_by(_V.version.desc())
    kept = tuple(connection.execute(others.limit(OTHERS_MAX)).scalars())
    run = Run(Phase(row.phase), entry.version, row.staged, kept, rules.by_entry_id is not None)
    return Claimed(
        row.id, generation, entry, ResourceKind(found.kind), found.target_id, found.target, found.address, found.port,
        found.host_key_policy, found.username, rules, run, row.attempts, Cause(row.cause),
    )  # fmt: skip


def stage(connection: Connection, claimed: Claimed, keyring: Keyring, secret: Secret) -> int:
    """Keep a candidate; its number. Raises :class:`RotationLost`."""
    entry = _held(connection, claimed)
    there = open_version(connection, keyring, entry, entry.version)
    number = stage_version(connection, keyring, entry, {**there, FIELD: secret})
    run = claimed.run
    if run.staged is not None:
        fail_version(connection, entry.id, run.staged)
    _write(connection, claimed, phase=Phase.STAGED, staged=number)
    return number


def begin(connection: Connection, claimed: Claimed, number: int) -> None:
    """Write down that the target is going to be changed. Nobody gets the entry meanwhile.

    Raises :class:`RotationLost`, and :class:`RotationUnderWay` where somebody has checked the entry out meanwhile.
    """
    entry = _held(connection, claimed)
    if holder_in(connection, entry.id) is not None:
        raise RotationUnderWay("somebody has checked it out meanwhile")
    _write(connection, claimed, phase=Phase.CHANGING, **_blocking(connection, entry))
    facts = {"target": claimed.target, "version": number, "attempt": claimed.attempts + 1}
    record(connection, "rotation.begin", entity_of(entry), details=facts)


def commit(connection: Connection, claimed: Claimed, run: Run, number: int) -> None:
    """The target takes this version. Raises :class:`RotationLost`."""
    entry = _held(connection, claimed)
    if run.staged is not None and run.staged != number:
        fail_version(connection, entry.id, run.staged)
    make_current(connection, entry, number)
    _write(connection, claimed, phase=Phase.DONE, staged=None, problem="", lease_until=0, ended_at=NowMs())
    facts = {"target": claimed.target, "version": number, "attempts": claimed.attempts + 1}
    record(connection, "rotation.done", entity_of(entry), details=facts)


def settle(connection: Connection, claimed: Claimed, run: Run, step: Settle, said: str) -> None:
    """Write down how it stands, and when it is tried again. Raises :class:`RotationLost`."""
    entry = _held(connection, claimed)
    staged_now = run.staged
    if step.drops and run.staged is not None:
        fail_version(connection, entry.id, run.staged)
        staged_now = None
    attempts = claimed.attempts + 1
    problem = (f"{step.why}: {said}" if said else step.why)[:PROBLEM_CHARS]
    wait = delay_ms(attempts, int(claimed.id[:4], 16) / 0xFFFF)
    values: dict[str, Any] = {"phase": step.phase, "staged": staged_now, "attempts": attempts}
    if step.phase is Phase.WAITING:
        values |= _giving_back(connection, claimed, entry)
    elif step.phase is Phase.UNCERTAIN:
        values |= _blocking(connection, entry)
    _write(connection, claimed, **values, problem=problem, lease_until=0, not_before=NowMs() + wait)
    facts = {"target": claimed.target, "phase": step.phase.value, "attempt": attempts, "said": problem}
    record(connection, "rotation.fail", entity_of(entry), outcome=Outcome.FAILURE, reason=step.why, details=facts)


def _blocking(connection: Connection, entry: Entry) -> dict[str, int]:
    """Have nobody get the entry; what to write down where it is the rotation that does this, and no use before it."""
    if entry.state is not EntryState.AVAILABLE:
        return {}
    set_state(connection, entry.id, EntryState.PENDING_ROTATION)
    return {"blocked_generation": entry.generation}


def _giving_back(connection: Connection, claimed: Claimed, entry: Entry) -> dict[str, None]:
    """Let the entry be had again, with the secret of before, where nothing but this rotation was in the way.

    Somebody may have released it by hand, and used it since: then what it waits for is the end of that use.
    """
    blocked = connection.execute(select(_O.blocked_generation).where(_O.id == claimed.id)).scalar_one_or_none()
    if blocked == entry.generation and entry.state is EntryState.PENDING_ROTATION:
        set_state(connection, entry.id, EntryState.AVAILABLE)
    return {"blocked_generation": None}


def _end(connection: Connection, ident: str, entry_id: str, generation: int, why: str) -> None:
    """Give a rotation up."""
    mine = (_O.id == ident) & (_O.generation == generation) & _O.ended_at.is_(None)
    ended = {"phase": Phase.CANCELLED.value, "lease_until": 0, "changed_at": NowMs(), "ended_at": NowMs()}
    connection.execute(update(rotations).where(mine).values(problem=why, **ended))
    record(connection, "rotation.end", Entity("secret", entry_id), reason=why)


def _held(connection: Connection, claimed: Claimed) -> Entry:
    """The entry, locked, where this owner still holds the rotation."""
    try:
        entry = entry_in(connection, claimed.entry.id, lock=True)
    except EntryUnknown:
        raise RotationLost("its entry was deleted") from None
    return entry


def _write(connection: Connection, claimed: Claimed, **values: Any) -> None:
    if isinstance(values.get("phase"), Phase):
        values["phase"] = values["phase"].value
    mine = (_O.id == claimed.id) & (_O.generation == claimed.generation) & _O.ended_at.is_(None)
    lease = {"lease_until": NowMs() + LEASE_MS, "changed_at": NowMs()}
    if rows_changed(connection, update(rotations).where(mine).values(**{**lease, **values})) != 1:
        raise RotationLost("another node works on it")


# ---- looking ---------------------------------------------------------------------------------------------------------


def rotations_in(connection: Connection, *, entry_id: str | None, is_open: bool) -> list[Rotation]:
    """The newest first."""
    joined = rotations.join(vault_entries, _O.entry_id == _E.id).join(vault_folders, _E.folder_id == vault_folders.c.id)
    wanted = select(rotations, _E.name, vault_folders.c.path).select_from(joined).order_by(_O.created_at.desc(), _O.id)
    if entry_id is not None:
        wanted = wanted.where(_O.entry_id == entry_id)
    if is_open:
        wanted = wanted.where(_O.ended_at.is_(None))
    return [_rotation(row) for row in connection.execute(wanted.limit(PAGE))]


def failing_in(connection: Connection, late_ms: int) -> list[Rotation]:
    """Those of which nobody knows what the target takes, and those that have failed for so long."""
    late = (_O.attempts > 0) & (_O.created_at < NowMs() - late_ms)
    wanted = or_(_O.phase == Phase.UNCERTAIN.value, late)
    joined = rotations.join(vault_entries, _O.entry_id == _E.id).join(vault_folders, _E.folder_id == vault_folders.c.id)
    asked = select(rotations, _E.name, vault_folders.c.path).select_from(joined)
    rows = connection.execute(asked.where(_O.ended_at.is_(None), wanted).order_by(_O.created_at).limit(PAGE))
    return [_rotation(row) for row in rows]


def counts_in(connection: Connection) -> Mapping[str, int]:
    """How many are open, by phase."""
    asked = select(_O.phase, func.count()).where(_O.ended_at.is_(None)).group_by(_O.phase)
    found = {str(phase): int(count) for phase, count in connection.execute(asked)}
    return {phase.value: found.get(phase.value, 0) for phase in OPEN}


def _rotation(row: Row[Any]) -> Rotation:
    return Rotation(
        id=row.id,
        entry_id=row.entry_id,
        entry=f"{row.path}/{row.name}".lstrip("/"),
        target=row.target,
        cause=Cause(row.cause),
        phase=Phase(row.phase),
        attempts=row.attempts,
        problem=row.problem,
        node=row.owner,
        created_at=WallMs(row.created_at),
        changed_at=WallMs(row.changed_at),
        next_at=None if row.ended_at is not None else WallMs(max(row.not_before, row.created_at)),
        ended_at=None if row.ended_at is None else WallMs(row.ended_at),
    )
