"""Settings of hot configuration: read on every node, changed on the leader, for the whole cluster at once.

A setting's address holds its bare value, so that what GET answers can be changed and PUT back; its revision is the
entity tag. ``If-Match`` is optional; with it nobody overwrites what he has not seen. Decides who may change what:
``security_admin`` the area ``security``, ``pam_admin`` everything.
"""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response

from rppam.access.accounts import AccountRole
from rppam.access.rbac import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions import Identity
from rppam.http.answers import BODY, NO_DATABASE, NOT_AT_THE_LEADER
from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.routes import declare, for_roles
from rppam.http.services import Here
from rppam.limits.policy import LIMITS
from rppam.manager.leader_only import authority_of
from rppam.manager.settings_schemas import (
    REVISION_MAX,
    RollbackRequest,
    SettingHistory,
    SettingList,
    revision_shape,
    setting_shape,
)
from rppam.settings.model import Setting
from rppam.settings.registry import SECURITY, find_setting
from rppam.settings.service import SettingChanges, Shown

SETTINGS_PATH: Final = "/api/v1/settings"
ONE: Final = SETTINGS_PATH + "/{area}/{name}"
PAGE: Final = 20
PAGE_MAX: Final = 100
settings = APIRouter(tags=["settings"])
_MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
_READ: Final = {404: "No such setting", 503: NO_DATABASE}
_WRITTEN: Final = {
    **BODY,
    404: "No such setting",
    409: "A newer leader has written since; nothing was changed",
    412: "If-Match names another revision than the one in force",
    421: NOT_AT_THE_LEADER,
    503: "The database does not answer; with RPPAM-2903 the change may or may not have been made",
}
LIMITS_PATH: Final = f"{SETTINGS_PATH}/{LIMITS.name}"
_TAG: Final = r'(W/)?"([!#-~]*)"'
_TAGS: Final = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_REVISION: Final = re.compile(r"0|[1-9][0-9]{0,15}")
Word = Annotated[str, Path(max_length=64)]


async def _setting(area: Word, name: Word) -> Setting[Any]:
    return find_setting(f"{area}/{name}")


@rule_for(Setting)
def _may(identity: Identity, action: Action, setting: Setting[Any]) -> str:
    is_for_all = action is Action.READ or setting.name.startswith(SECURITY)
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,) if is_for_all else ())


async def _writable(caller: Caller, setting: Annotated[Setting[Any], Depends(_setting)]) -> None:
    check(caller, Action.CHANGE, setting)


async def _expected(request: Request) -> list[int] | None:
    return revisions_in(request.headers.getlist("if-match"))


Named = Annotated[Setting[Any], Depends(_setting)]
Expected = Annotated[list[int] | None, Depends(_expected)]
_WRITES: Final = [Depends(_writable)]


@settings.get(SETTINGS_PATH, summary="All settings", response_model=SettingList)
@declare(_MAY, {503: NO_DATABASE})
async def list_settings(services: Here) -> SettingList:
    """Each with its value, its default, who made it so, and the revision in force in the answering process."""
    return SettingList(settings=[setting_shape(shown) for shown in await services.get(SettingChanges).show_all()])


@settings.get(ONE, summary="The value of a setting", response_model=dict[str, Any])
@declare(_MAY, _READ)
async def read_setting(setting: Named, services: Here, response: Response) -> dict[str, Any]:
    """As it stands in the database, each field named. The ETag is the revision: `"0"` for the default."""
    return _answer(await services.get(SettingChanges).show(setting), response)


@settings.put(ONE, summary="Change a setting", response_model=dict[str, Any], dependencies=_WRITES)
# Limits so low that nobody gets in can be raised again.
@declare(_MAY, _WRITTEN, uncounted_paths=frozenset({LIMITS_PATH}))
async def put_setting(
    setting: Named,
    body: Annotated[dict[str, Any], Body()],
    caller: Caller,
    expected: Expected,
    services: Here,
    response: Response,
) -> dict[str, Any]:
    """The body is the whole value: a field that is left out has its default afterwards. Only the leader writes."""
    setting.read(body)  # a wrong value is wrong on every node
    authority = authority_of(services)
    return _answer(await services.get(SettingChanges).put(authority, setting, body, caller.subject, expected), response)


@settings.get(ONE + "/history", summary="What a setting was", response_model=SettingHistory)
@declare(_MAY, _READ)
async def read_history(
    setting: Named,
    services: Here,
    before: Annotated[int | None, Query(ge=1, le=REVISION_MAX)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE,
) -> SettingHistory:
    """Revisions, the newest first: who, when, and each field from what to what."""
    found = await services.get(SettingChanges).history(setting, before, limit)
    oldest = found[-1].stored.revision if found else 1
    return SettingHistory(
        name=setting.name,
        revisions=[revision_shape(past) for past in found],
        next_before=oldest if oldest > 1 else None,
    )


@settings.post(
    ONE + "/rollback", summary="Go back to an earlier revision", response_model=dict[str, Any], dependencies=_WRITES
)
@declare(_MAY, {**_WRITTEN, 404: "No such setting, or it has no such revision"})
async def roll_back(
    setting: Named, body: RollbackRequest, caller: Caller, expected: Expected, services: Here, response: Response
) -> dict[str, Any]:
    """The value of that revision becomes a new one; nothing of the past is lost. Only the leader writes."""
    authority = authority_of(services)
    shown = await services.get(SettingChanges).roll_back(authority, setting, body.revision, caller.subject, expected)
    return _answer(shown, response)


def revisions_in(headers: list[str]) -> list[int] | None:
    """The revisions that ``If-Match`` lets a write replace; ``None``: any. Raises :class:`InvalidRequestError`.

    A tag that is none of ours, or a weak one, matches nothing (RFC 9110, section 13.1.1).
    """
    text = ",".join(headers).strip(" \t")
    if not headers or text == "*":
        return None
    if _TAGS.fullmatch(text) is None:
        message = 'expected * or entity tags in quotes, such as "7"'
        raise InvalidRequestError([FieldFlaw("header.If-Match", message, "malformed")])
    return [int(opaque) for weak, opaque in re.findall(_TAG, text) if not weak and _REVISION.fullmatch(opaque)]


def _answer(shown: Shown, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = f'"{shown.revision}"'
    return dict(shown.value)
