"""Holds on recordings, and the search of what was said in them, over REST."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from rppam.access.accounts.api import PRINTABLE
from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Action, Caller, allows
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.ledger.model import Word
from rppam.recordings.api import RECORDINGS, RecordingId, RecordingShape, RecordingsOf, shape_of
from rppam.recordings.ending import SqlEnding
from rppam.recordings.model import Facts, Recording
from rppam.recordings.search import HITS_MAX
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings

keeping = APIRouter(tags=["recordings"])
LINES: Final = "application/x-ndjson"
_ORDERS: Final = for_roles(AccountRole.SECURITY_ADMIN)
_UNKNOWN: Final = "No recording has this id"


class Because(Shape):
    """Why a recording is held, or not any more."""

    reason: Annotated[str, Field(min_length=1, max_length=1_000, pattern=PRINTABLE)]


class Wanted(Shape):
    """What to look for, and where."""

    text: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
    """Upper and lower case are alike."""
    session: Annotated[str, Field(max_length=36)] = ""
    user: Annotated[str, Field(max_length=64)] = ""
    target: Annotated[str, Field(max_length=128)] = ""


@keeping.post(RECORDINGS + "/{recordingId}/hold", summary="Keep a recording", response_model=RecordingShape)
@declare(_ORDERS, {**BODY, 404: _UNKNOWN, 410: "It is deleted already (RPPAM-8707)", 503: NO_DATABASE})
async def hold(recording_id: RecordingId, body: Because, caller: Caller, services: Here) -> RecordingShape:
    """While it is held, it is not deleted, however old it is. Holding it again says another reason."""
    await services.get(SqlEnding).hold(recording_id, body.reason, caller.subject)
    return await shape_of(await services.get(Recordings).get(recording_id), services)


@keeping.post(
    RECORDINGS + "/{recordingId}/release", summary="Keep a recording no longer", response_model=RecordingShape
)
@declare(_ORDERS, {**BODY, 404: _UNKNOWN, 503: NO_DATABASE})
async def release(recording_id: RecordingId, body: Because, services: Here) -> RecordingShape:
    """It is deleted with the next round, where its time is over."""
    await services.get(SqlEnding).release(recording_id, body.reason)
    return await shape_of(await services.get(Recordings).get(recording_id), services)


@keeping.post(RECORDINGS + "/search", summary="Search recordings", response_class=StreamingResponse)
@declare(SIGNED_IN, {**BODY, 503: NO_DATABASE})
async def search(body: Wanted, caller: Caller, services: Here) -> StreamingResponse:
    """JSON lines, the newest recordings first: all for administrators and auditors, else the own ones of the caller.

    A line with `line` is a hit; one with `searched` says how many recordings are done, at least once a second; one with
    `problem` names a recording that could not be read; the last one has `over`. Without it, the answer is not whole.
    """
    user_id = None if allows(caller, Action.READ, RecordingsOf(None)) else caller.user_id or "-"
    facts = {"session": body.session, "user": Word(body.user), "target": body.target}
    await services.get(SqlRecordings).note("recording.search", "", facts)
    return StreamingResponse(_found(body, user_id, services), media_type=LINES)


async def _found(wanted: Wanted, user_id: str | None, services: Here) -> AsyncIterator[bytes]:
    def wants(facts: Facts) -> bool:
        return wanted.user in {"", facts.user} and wanted.target in {"", facts.target}

    store, searched, hits, problems, shown = services.get(SqlRecordings), 0, 0, 0, ""
    yield _line({"searched": 0})
    looks = services.get(Recordings).search(wanted.text, user_id=user_id, session=wanted.session or None, wants=wants)
    async for look in looks:
        one = look.recording
        if look.hits and shown != one.id:
            shown = one.id
            await store.note("recording.export", one.id, {"format": "search"})
        for hit in look.hits:
            hits += 1
            yield _line(_named(one) | {"atMs": hit.at_ms, "line": hit.line})
        if look.problem:
            problems += 1
            yield _line(_named(one) | {"problem": look.problem})
        if look.is_over:
            searched += 1
            if look.lines > HITS_MAX:
                yield _line({"recording": one.id, "lines": look.lines})
        yield _line({"searched": searched})
    yield _line({"over": True, "searched": searched, "hits": hits, "problems": problems})


def _named(one: Recording) -> dict[str, Any]:
    facts = one.facts
    return {
        "recording": one.id,
        "session": facts.session,
        "startedAt": iso_utc(one.started),
        "user": facts.user,
        "account": facts.account,
        "target": facts.target,
    }


def _line(words: dict[str, Any]) -> bytes:
    return json.dumps(words, ensure_ascii=False).encode() + b"\n"
