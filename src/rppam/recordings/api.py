"""Recordings over REST: everybody sees the own ones, administrators and auditors all. Each look is recorded."""

import asyncio
import codecs
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from rppam.access.accounts.model import PAGE_SIZE, PAGE_SIZE_MAX, AccountRole
from rppam.access.rbac.policy import Action, Caller, allows, check, lacking_role, rule_for
from rppam.access.sessions.model import Identity
from rppam.foundation import Foundation
from rppam.http.answers import NO_DATABASE
from rppam.http.routes import SIGNED_IN, Kind, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.streams import Event, EventStream
from rppam.http.times import iso_utc
from rppam.kernel.errors import RppamError
from rppam.kernel.services import Services
from rppam.recordings.errors import RecordingDeleted, RecordingUnknown
from rppam.recordings.formats import ENDINGS, MEDIA, Format, Writer
from rppam.recordings.keeping import Kept, KeptBy, SqlKeeping
from rppam.recordings.model import Recording, Sort, State
from rppam.recordings.policy import RETENTION
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from rppam.recordings.watchers import SqlWatchers

RECORDINGS: Final = "/api/v1/recordings"
recordings = APIRouter(tags=["recordings"])
_ID: Final = "^[0-9a-zA-Z-]{1,36}$"
RecordingId = Annotated[str, Path(alias="recordingId", pattern=_ID)]
_LAST_WORD_S: Final = 0.2
_TEXT_CHARS: Final = 64 * 1024
"""What came at once is shown at once, up to this much."""
ALIVE_S: Final = 4.0
"""How often a stream that has nothing to show says so: a page sees events alone, and takes silence for a dead node."""
_SECONDS: Final = frozenset({AccountRole.APPROVER, AccountRole.ADMIN, AccountRole.SECURITY_ADMIN})
"""Roles whose watching has a session begin that waits for that."""
_DELETED: Final = "It was deleted, as its time was over (RPPAM-8707)"
_HIDDEN: Final = "No recording of this id, or somebody else's"


class RecordingShape(Shape):
    """A recording. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    session: str
    """Id of the session with the target."""
    kind: str
    """`shell` or `exec`."""
    user: str
    target: str
    account: str
    title: str
    """The command; empty for a shell."""
    columns: int
    rows: int
    node: str
    state: str
    """`live`, `done`, `lost`: its end is missing, or `deleted`: its time was over."""
    chunks: int
    bytes: int
    head: str
    """The last hash of its chain, as the ledger has it."""
    started_at: str
    changed_at: str
    exit: str
    """How the channel ended."""
    store: str
    """Where its chunks lie: `sql`, or `dir:` and the path of a folder."""
    hold: str
    """Why it is kept whatever its age; empty: it is not."""
    held_by: str
    kept_by: KeptBy
    """What keeps it: `live`: it goes on; `hold`; `legal-hold`: on its user, its target or everything; `tag` of its
    target; `days` of all; `deleted`: nothing any more."""
    kept_tag: str
    """The tag that decides; empty: none does."""
    kept_until: str | None
    """When it is deleted, as the setting `recordings/retention` and its target's tags are now; null: not by its age."""


class RecordingPage(Shape):
    """A page of recordings."""

    items: list[RecordingShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class VerdictShape(Shape):
    """What became of verifying a recording."""

    id: str
    ok: bool
    chunks: int
    bytes: int
    head: str
    problem: str
    """Empty where all is as it was recorded."""


class RecordingsOf(NamedTuple):
    """All recordings of a user; of everybody where it is ``None``."""

    user_id: str | None


@rule_for(RecordingsOf)
def _recordings_of(identity: Identity, action: Action, whose: RecordingsOf) -> str:
    if whose.user_id is not None and whose.user_id == identity.user_id:
        return ""
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,))


@recordings.get(RECORDINGS, summary="Recordings", response_model=RecordingPage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 503: NO_DATABASE})
async def list_recordings(
    caller: Caller,
    services: Here,
    session: Annotated[str | None, Query(pattern=_ID)] = None,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
    after: Annotated[str | None, Query(pattern=_ID)] = None,
) -> RecordingPage:
    """The newest first: all for administrators and auditors, else the caller's own. `session=...`: of one session."""
    user_id = None if allows(caller, Action.READ, RecordingsOf(None)) else caller.user_id or "-"
    found, following = await services.get(Recordings).page(user_id, session, after, page_size)
    if not found and session is not None and _may_second(caller):
        every, _ = await services.get(Recordings).page(None, session, None, page_size)
        live = [one for one in every if one.state is State.LIVE]
        found = [one for one in live if await services.get(SqlWatchers).waits(one.id)]
    return RecordingPage(items=await shapes_of(found, services), next=following)


@recordings.get(RECORDINGS + "/{recordingId}", summary="One recording", response_model=RecordingShape)
@declare(SIGNED_IN, {404: _HIDDEN, 503: NO_DATABASE})
async def show_recording(recording_id: RecordingId, caller: Caller, services: Here) -> RecordingShape:
    """What is known of it, without what was said."""
    return await shape_of(await _readable(recording_id, caller, services), services)


@recordings.get(RECORDINGS + "/{recordingId}/export", summary="A recording as a file", response_class=StreamingResponse)
@declare(SIGNED_IN, {400: "A parameter is not valid", 404: _HIDDEN, 410: _DELETED, 503: NO_DATABASE})
async def export_recording(
    recording_id: RecordingId,
    caller: Caller,
    services: Here,
    form: Annotated[Format, Query(alias="format")] = Format.CAST3,
) -> StreamingResponse:
    """`cast3` and `cast2` play in asciinema, `ttyrec` has the bytes as they came, `txt` is for reading.

    A recording that is broken ends where it is, without its last line.
    """
    found = _there(await _readable(recording_id, caller, services))
    await services.get(SqlRecordings).note("recording.export", found.id, {"format": form.value})
    name = f"{found.id}.{ENDINGS[form]}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_exported(found, form, services.get(Recordings)), media_type=MEDIA[form], headers=headers)


@recordings.post(RECORDINGS + "/{recordingId}/verify", summary="Verify a recording", response_model=VerdictShape)
@declare(SIGNED_IN, {404: _HIDDEN, 410: _DELETED, 503: NO_DATABASE})
async def verify_recording(recording_id: RecordingId, caller: Caller, services: Here) -> VerdictShape:
    """Opens every chunk, follows the chain, and compares it with the hashes that the ledger has."""
    found = _there(await _readable(recording_id, caller, services))
    store = services.get(SqlRecordings)
    verdict = await services.get(Recordings).verify(found.id, await store.told(found.id))
    facts = {"ok": not verdict.problem, "chunks": verdict.chunks}
    await store.note("recording.verify", found.id, facts)
    return VerdictShape(
        id=found.id,
        ok=not verdict.problem,
        chunks=verdict.chunks,
        bytes=verdict.bytes,
        head=verdict.head,
        problem=verdict.problem,
    )


@recordings.get(RECORDINGS + "/{recordingId}/watch", summary="Watch a session", response_model=None)
@declare(SIGNED_IN, {404: _HIDDEN, 410: _DELETED, 503: NO_DATABASE}, kind=Kind.EVENTS)
async def watch_recording(recording_id: RecordingId, caller: Caller, services: Here) -> EventStream:
    """Server-sent events: `begin` says what it is, `o` is what the target said with its `text`, `r` another `size`, `x`
    how the channel ended, `alive` that there is nothing new, and `over` comes last. Any node can be asked; the session
    is not slowed, and the ledger says who watched. A session that waits to be watched begins by that; approvers may
    watch such a one as well.
    """
    found = await services.get(Recordings).get(recording_id)
    seconds = services.get(SqlWatchers)
    may_second = _may_second(caller)
    is_second = may_second and found.state is State.LIVE and await seconds.waits(found.id)
    if not is_second:
        found = _there(await _readable(recording_id, caller, services))
    await services.get(SqlRecordings).note("recording.watch", found.id, {"session": found.facts.session})

    def still_may(now: Identity) -> None:
        nonlocal may_second
        may_second = _may_second(now)
        if is_second and may_second:
            return
        check(now, Action.READ, RecordingsOf(found.user_id), RecordingUnknown("no recording has this id"))

    watched = _watched(found, await shape_of(found, services), services.get(Recordings))
    told = _told(watched, found.id, seconds, caller, lambda: may_second)
    return EventStream(told if may_second else watched, still_may)


def _may_second(caller: Identity) -> bool:
    """Whether a session that waits to be watched begins when this account does."""
    return caller.user_id is not None and bool(caller.roles & _SECONDS)


async def _told(
    events: AsyncIterator[Event | None],
    recording: str,
    seconds: SqlWatchers,
    caller: Identity,
    may_second: Callable[[], bool],
) -> AsyncIterator[Event | None]:
    """The events, and every few seconds the word that they are watched, as long as that counts."""
    loop, said_s = asyncio.get_running_loop(), 0.0
    user_id = caller.user_id or ""
    try:
        async for event in events:
            if loop.time() - said_s >= ALIVE_S and may_second():
                said_s = loop.time()
                await seconds.watches(recording, user_id, caller.subject)
            elif said_s and not may_second():
                said_s = 0.0
                await seconds.leaves(recording, user_id)
            yield event
    finally:
        with contextlib.suppress(RppamError, asyncio.CancelledError):
            await seconds.leaves(recording, user_id)


async def _watched(recording: Recording, shape: RecordingShape, service: Recordings) -> AsyncIterator[Event | None]:
    yield Event("begin", shape.model_dump(by_alias=True))
    decoders = {sort: codecs.getincrementaldecoder("utf-8")("replace") for sort in (Sort.OUT, Sort.ERROR)}
    loop, said_s = asyncio.get_running_loop(), 0.0
    async for records in service.follow(recording):
        if records or loop.time() - said_s >= ALIVE_S:
            said_s = loop.time()
        else:
            yield None
            continue
        if not records:
            yield Event("alive", {})
        text = ""
        for record in records:
            if record.sort in decoders:
                text += decoders[record.sort].decode(record.data)
            if text and (record.sort not in decoders or len(text) >= _TEXT_CHARS):
                yield Event("o", {"text": text})
                text = ""
            if record.sort is Sort.RESIZE:
                yield Event("r", {"size": record.data.decode("ascii", "replace")})
            elif record.sort is Sort.EXIT:
                yield Event("x", {"exit": record.data.decode("utf-8", "replace")})
        if text:
            yield Event("o", {"text": text})
    yield Event("over", {})
    await asyncio.sleep(_LAST_WORD_S)


async def _exported(recording: Recording, form: Format, service: Recordings) -> AsyncIterator[bytes]:
    writer = Writer(form, recording)
    yield writer.head()
    async for chunk, records in service.chunks(recording):
        yield writer.chunk(chunk, records)
    yield writer.end()


def _there(recording: Recording) -> Recording:
    """The recording, where it has something to show. Raises :class:`RecordingDeleted`."""
    if recording.state is State.DELETED:
        raise RecordingDeleted(f"it was deleted at {iso_utc(recording.changed)}, as its time was over")
    return recording


async def _readable(recording_id: str, caller: Caller, services: Here) -> Recording:
    missing = RecordingUnknown("no recording has this id")
    found = await services.get(Recordings).get(recording_id)
    check(caller, Action.READ, RecordingsOf(found.user_id), missing)
    return found


async def shape_of(one: Recording, services: Services) -> RecordingShape:
    """A recording for callers."""
    return (await shapes_of([one], services))[0]


async def shapes_of(found: Sequence[Recording], services: Services) -> list[RecordingShape]:
    """Recordings for callers, with what keeps them."""
    retention = (await services.get(Foundation).hot.get(RETENTION)).value
    kept = await services.get(SqlKeeping).of(found, retention)
    return [_shape(one, why) for one, why in zip(found, kept, strict=True)]


def _shape(one: Recording, kept: Kept) -> RecordingShape:
    facts = one.facts
    return RecordingShape(
        id=one.id,
        session=facts.session,
        kind=facts.kind,
        user=facts.user,
        target=facts.target,
        account=facts.account,
        title=facts.title,
        columns=facts.columns,
        rows=facts.rows,
        node=facts.node,
        state=one.state.value,
        chunks=one.chunks,
        bytes=one.bytes,
        head=one.head,
        started_at=iso_utc(one.started),
        changed_at=iso_utc(one.changed),
        exit=one.how,
        store=one.store,
        hold=one.hold,
        held_by=one.held_by,
        kept_by=kept.by,
        kept_tag=kept.tag,
        kept_until=None if kept.until is None else iso_utc(kept.until),
    )
