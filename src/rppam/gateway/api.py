"""Sessions with targets over REST: everybody sees and ends the own ones, administrators everybody's."""

from dataclasses import fields
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field, SecretStr

from rppam.access.accounts.model import PAGE_SIZE, PAGE_SIZE_MAX, AccountRole
from rppam.access.passkeys.factor import shown_factor
from rppam.access.passkeys.schemas import Answer
from rppam.access.rbac.policy import Action, Caller, allows, check, lacking_role, rule_for
from rppam.access.sessions.api import caller_of
from rppam.access.sessions.model import Identity
from rppam.foundation import Foundation
from rppam.gateway.errors import AccessUnknown, KillFactorNeeded
from rppam.gateway.model import WHY_CHARS, Access, FileNote
from rppam.gateway.policy import ACCESS
from rppam.gateway.service import AccessSessions
from rppam.gateway.store import SqlAccess
from rppam.http.answers import BODY, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.services import Services

SESSIONS: Final = "/api/v1/access/sessions"
access = APIRouter(tags=["access"])
_ID: Final = "^[0-9a-zA-Z-]{1,36}$"
AccessId = Annotated[str, Path(alias="accessId", pattern=_ID)]
_MAY_NOT_END: Final = "The role may see this session and not end it, or a second factor is needed (RPPAM-8628)"
_HIDDEN: Final = "No session of this id, or somebody else's"


class AccessShape(Shape):
    """A session with a target. Times are ISO 8601, UTC, by the database's clock."""

    id: str
    user_id: str
    user: str
    target_id: str
    target: str
    account_id: str
    account: str
    kind: str
    """`ssh`."""
    client: str
    """The address that the user came from."""
    node: str
    """Whose gateway holds it."""
    active: bool
    started_at: str
    ended_at: str | None
    why: str
    """Why it ended; empty while it is live."""
    bytes_up: int
    """From the user to the target, at most some seconds behind."""
    bytes_down: int
    kept: bool
    """A holder on the target keeps its shell when connection, gateway or node are lost."""
    detached_at: str | None
    """Since when nobody is attached to the shell that is kept; null while somebody is."""


_AS_THEY_ARE: Final = AccessShape.model_fields.keys() & {field.name for field in fields(Access)}


class AccessPage(Shape):
    """A page of sessions."""

    items: list[AccessShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class FileShape(Shape):
    """What SFTP did with a file."""

    at: str
    what: str
    """`transfer`; `remove`, `rename`, `mkdir`, `rmdir`, `symlink`, `link`, `attributes`, `copy`, `create`, `truncate`;
    `untold`: nothing more is told of this channel."""
    path: str
    to: str
    """The other path, where there are two."""
    direction: str | None
    """`up`: to the target, `down`: from it."""
    bytes: int | None
    sha256: str | None
    """Of what was carried, from the file's first byte on; null: see `why`."""
    why: str
    """Why there is no hash, or why nothing more is told."""
    complete: bool
    """It was closed, or the target has done it."""


class FilePage(Shape):
    """A page of files."""

    items: list[FileShape]
    next: str | None
    """What to send as `after` for the next page; null on the last one."""


class KillRequest(Shape):
    """Why a session is ended; its user and the ledger are told."""

    reason: Annotated[str, Field(max_length=WHY_CHARS - 80)] = ""
    code: Annotated[SecretStr, Field(min_length=1, max_length=64)] | None = None
    """A code of the authenticator, where the setting `access/ssh` asks for a second factor."""
    passkey: Answer | None = None
    """In the place of `code`: what a passkey answered to POST /api/v1/auth/webauthn/prove."""


class AccessOf(NamedTuple):
    """All sessions of a user; of everybody where it is ``None``."""

    user_id: str | None


@rule_for(AccessOf)
def _access_of(identity: Identity, action: Action, whose: AccessOf) -> str:
    if whose.user_id is not None and whose.user_id == identity.user_id:
        return ""
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,))


@access.get(SESSIONS, summary="Sessions with targets", response_model=AccessPage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 403: "Somebody else's sessions", 503: NO_DATABASE})
async def list_access(
    caller: Caller,
    services: Here,
    active: bool | None = None,
    user_id: Annotated[str | None, Query(alias="userId", pattern=_ID)] = None,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
    after: Annotated[str | None, Query(pattern=_ID)] = None,
) -> AccessPage:
    """The newest first: all for administrators and auditors, else the caller's own. `active=true`: live ones alone."""
    if not allows(caller, Action.READ, AccessOf(None)):
        if user_id is not None:
            check(caller, Action.READ, AccessOf(user_id))
        user_id = caller.user_id or "-"
    found, following = await services.get(AccessSessions).page(user_id, active, after, page_size)
    return AccessPage(items=[_shape(one) for one in found], next=following)


@access.get(SESSIONS + "/{accessId}", summary="One session with a target", response_model=AccessShape)
@declare(SIGNED_IN, {404: _HIDDEN, 503: NO_DATABASE})
async def show_access(access_id: AccessId, caller: Caller, services: Here) -> AccessShape:
    """Live or past. Own sessions; administrators and auditors see every one."""
    return _shape(await _own(access_id, Action.READ, caller, services))


@access.get(SESSIONS + "/{accessId}/files", summary="Files that SFTP carried", response_model=FilePage)
@declare(SIGNED_IN, {400: "A parameter is not valid", 404: _HIDDEN, 503: NO_DATABASE})
async def list_files(
    access_id: AccessId,
    caller: Caller,
    services: Here,
    page_size: Annotated[int, Query(alias="pageSize", ge=1, le=PAGE_SIZE_MAX)] = PAGE_SIZE,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> FilePage:
    """In order, as the ledger has it: files of `scp` and SFTP clients. What a command such as rsync or `scp -O` carries
    is not told."""
    await _own(access_id, Action.READ, caller, services)
    found = await services.get(SqlAccess).files(access_id, after, page_size + 1)
    following = str(found[page_size - 1].seq) if len(found) > page_size else None
    return FilePage(items=[_file(one) for one in found[:page_size]], next=following)


@access.post(SESSIONS + "/{accessId}/kill", summary="End a session with a target", response_model=AccessShape)
@declare(SIGNED_IN, {**BODY, 403: _MAY_NOT_END, 404: _HIDDEN, 503: NO_DATABASE})
async def kill_access(
    access_id: AccessId, body: KillRequest, caller: Caller, services: Here, request: Request
) -> AccessShape:
    """On whatever node it is; its user is shown the reason. The answer is the session as it was before."""
    found = await _own(access_id, Action.END, caller, services)
    if found.user_id != caller.user_id:
        await _prove(body, caller, services, caller_of(request).client)
    await services.get(AccessSessions).kill(access_id, _plain(body.reason), caller.subject)
    return _shape(found)


async def _prove(body: KillRequest, caller: Identity, services: Services, client: str) -> None:
    """Raise KillFactorNeeded where a factor is asked for and none is shown; what is shown is checked in any case."""
    code = None if body.code is None else body.code.get_secret_value()
    if caller.user_id is not None and await shown_factor(services, caller.user_id, body.passkey, code, client):
        return
    if services.get(Foundation).hot.current(ACCESS).kill_factor == "required":
        raise KillFactorNeeded("to end somebody else's session, show a second factor: 'code' or 'passkey'")


async def _own(session_id: str, action: Action, caller: Caller, services: Here) -> Access:
    found = await services.get(AccessSessions).find(session_id)
    whose = None if found is None else AccessOf(found.user_id)
    check(caller, action, whose, AccessUnknown("no session with a target has this id"))
    assert found is not None  # as it may be read
    return found


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _file(one: FileNote) -> FileShape:
    facts = one.details
    is_transfer = one.action == "file.transfer"
    return FileShape(
        at=iso_utc(one.at),
        what=str(facts.get("what", one.action.removeprefix("file."))),
        path=str(facts.get("path", "")),
        to=str(facts.get("to", "")),
        direction=facts["direction"] if is_transfer else None,
        bytes=facts["bytes"] if is_transfer else None,
        sha256=facts["sha256"] if is_transfer else None,
        why=str(facts.get("why", "")),
        complete=bool(facts.get("closed", facts.get("done", False))),
    )


def _shape(one: Access) -> AccessShape:
    return AccessShape(
        **{name: getattr(one, name) for name in _AS_THEY_ARE},
        started_at=iso_utc(one.started),
        ended_at=None if one.ended is None else iso_utc(one.ended),
        kept=one.is_kept,
        detached_at=None if one.detached is None or not one.active else iso_utc(one.detached),
    )
