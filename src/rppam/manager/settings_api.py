"""Settings of hot configuration: read and changed on every node, for the whole cluster at once. The change is written
under the leader's epoch, which a standby asks it for.

A setting's address holds its bare value, so that what GET answers can be changed and PUT back; its revision is the
entity tag. With ``If-Match``, which is optional, no change overwrites one that its author has not seen.
``security_admin`` may change the area ``security``, ``pam_admin`` everything.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from pydantic import Field

from rppam.access.accounts.model import AccountRole
from rppam.access.rbac.policy import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions.model import Identity
from rppam.cluster.admin.ports import Administration
from rppam.foundation import Foundation
from rppam.http.answers import BODY, NO_DATABASE, NOT_AT_THE_LEADER
from rppam.http.errors import RequestError
from rppam.http.revisions import Expected, tag_of, unchanged
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.limits.policy import LIMITS
from rppam.manager.forwarding import hand_on_to_all, leadership_of
from rppam.manager.schemas import NodeTold
from rppam.settings.model import Setting
from rppam.settings.registry import SECURITY, find_setting
from rppam.settings.service import PastRevision, SettingChanges, Shown
from rppam.settings.trial import to_try

SETTINGS_PATH: Final = "/api/v1/settings"
TRIAL_PATH: Final = SETTINGS_PATH + "/trial"
_NO_CONTROL: Final = "The control process of the node did not answer, or too many orders are under way (RPPAM-5321)"
ONE: Final = SETTINGS_PATH + "/{area}/{name}"
REVISION_MAX = 2**53
PAGE: Final = 20
PAGE_MAX: Final = 100
settings = APIRouter(tags=["settings"])
_MAY: Final = for_roles(AccountRole.SECURITY_ADMIN)
_READ: Final = {404: "No such setting", 503: NO_DATABASE}
_WRITTEN: Final = {
    **BODY,
    404: "No such setting",
    409: "A newer leader has written since; nothing was changed",
    421: NOT_AT_THE_LEADER,
    503: "The database does not answer; with RPPAM-2903 the change may or may not have been made",
}
LIMITS_PATH: Final = f"{SETTINGS_PATH}/{LIMITS.name}"
Word = Annotated[str, Path(max_length=64)]


class SettingShape(Shape):
    """One setting as it stands in the database."""

    name: str
    title: str
    revision: int
    """0: it was never set, the default holds."""
    value: dict[str, Any]
    default: dict[str, Any]
    author: str | None
    """The author of this revision; null for the default."""
    changed_at: str | None
    """By the database's clock."""
    epoch: int | None
    """The leadership under which it was made."""
    node: str | None
    revision_here: int
    """The revision in force in the answering process."""


class SettingList(Shape):
    """All settings."""

    settings: list[SettingShape]


class FieldChangeShape(Shape):
    """What a revision did to one field."""

    field: str
    from_value: Annotated[Any, Field(alias="from")]
    """null: the field was not there."""
    to_value: Annotated[Any, Field(alias="to")]


class RevisionShape(Shape):
    """One revision of a setting."""

    revision: int
    value: dict[str, Any]
    changes: list[FieldChangeShape]
    """Against the revision before; the first one against the default."""
    author: str
    changed_at: str
    epoch: int
    node: str


class SettingHistory(Shape):
    """Revisions, the newest first."""

    name: str
    revisions: list[RevisionShape]
    next_before: int | None
    """Ask again with `before` set to this for older ones; null: there are none."""


class RollbackRequest(Shape):
    """To which revision."""

    revision: Annotated[int, Field(ge=0, le=REVISION_MAX, strict=True)]
    """Its value becomes a new revision. 0 is the default."""


class TrialRequest(Shape):
    """Values to be tried."""

    settings: Annotated[dict[str, dict[str, Any]], Field(max_length=100)]
    """By the names of the settings, each whole: what is left out has its default."""


class SettingTrial(Shape):
    """What each node said."""

    nodes: list[NodeTold]
    """`told`: it could go by the values. Empty where no value depends on a host."""


async def _setting(area: Word, name: Word) -> Setting[Any]:
    return find_setting(f"{area}/{name}")


@rule_for(Setting)
def _may(identity: Identity, action: Action, setting: Setting[Any]) -> str:
    is_for_all = action is Action.READ or setting.name.startswith(SECURITY)
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,) if is_for_all else ())


async def _writable(caller: Caller, setting: Annotated[Setting[Any], Depends(_setting)]) -> None:
    check(caller, Action.CHANGE, setting)


Named = Annotated[Setting[Any], Depends(_setting)]
_WRITES: Final = [Depends(_writable)]


@settings.get(SETTINGS_PATH, summary="All settings", response_model=SettingList)
@declare(_MAY, {503: NO_DATABASE})
async def list_settings(services: Here) -> SettingList:
    """Each with its value, its default, who made it so, and the revision in force in the answering process."""
    return SettingList(settings=[_setting_shape(shown) for shown in await services.get(SettingChanges).show_all()])


@settings.post(TRIAL_PATH, summary="Try values on every node", response_model=SettingTrial)
@declare(_MAY, {**BODY, 503: _NO_CONTROL})
async def try_settings(body: TrialRequest, request: Request, caller: Caller, services: Here) -> SettingTrial:
    """Whether every node could go by these values: what names something of a host, such as a folder, is tried on each.
    Nothing is changed. A node that is not reached cannot say so, and is listed. Who may change a setting may try it."""
    for name, value in body.settings.items():
        setting = find_setting(name)
        check(caller, Action.CHANGE, setting)
        setting.read(value)
    values = to_try(body.settings)
    if not values:
        return SettingTrial(nodes=[])
    own = services.get(Foundation).node
    try:
        said = await services.get(Administration).try_settings(values, caller.subject)
        first = NodeTold(node=own, told=True, said=said, code=None)
    except RequestError as error:
        first = NodeTold(node=own, told=False, said=str(error), code=error.row.code)
    others = await hand_on_to_all(request, services, "try_settings", values=values, by=caller.subject)
    return SettingTrial(nodes=[first, *others])


@settings.get(ONE, summary="The value of a setting", response_model=dict[str, Any])
@declare(_MAY, {**_READ, 304: "If-None-Match names the revision in force"})
async def read_setting(
    setting: Named, request: Request, services: Here, response: Response
) -> dict[str, Any] | Response:
    """As it stands in the database, each field named. The ETag is the revision: `"0"` for the default."""
    shown = await services.get(SettingChanges).show(setting)
    return unchanged(request, shown.revision) or _answer(shown, response)


@settings.put(ONE, summary="Change a setting", response_model=dict[str, Any], dependencies=_WRITES)
# Limits so low that no request passes can be raised again.
@declare(_MAY, _WRITTEN, uncounted_paths=frozenset({LIMITS_PATH}))
async def put_setting(
    setting: Named,
    body: Annotated[dict[str, Any], Body()],
    request: Request,
    caller: Caller,
    expected: Expected,
    services: Here,
    response: Response,
) -> dict[str, Any]:
    """The body is the whole value: a field that is left out has its default afterwards. Any node takes it, and writes
    it under the leader's epoch."""
    setting.read(body)  # a wrong value is wrong on every node
    leader = await leadership_of(request, services, caller.subject)
    return _answer(await services.get(SettingChanges).put(leader, setting, body, caller.subject, expected), response)


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
        revisions=[_revision_shape(past) for past in found],
        next_before=oldest if oldest > 1 else None,
    )


@settings.post(
    ONE + "/rollback", summary="Go back to an earlier revision", response_model=dict[str, Any], dependencies=_WRITES
)
@declare(_MAY, {**_WRITTEN, 404: "No such setting, or it has no such revision"})
async def roll_back(
    setting: Named,
    body: RollbackRequest,
    request: Request,
    caller: Caller,
    expected: Expected,
    services: Here,
    response: Response,
) -> dict[str, Any]:
    """The value of that revision becomes a new one; nothing of the past is lost. Any node takes it."""
    leader = await leadership_of(request, services, caller.subject)
    shown = await services.get(SettingChanges).roll_back(leader, setting, body.revision, caller.subject, expected)
    return _answer(shown, response)


def _setting_shape(shown: Shown) -> SettingShape:
    stored = shown.stored
    return SettingShape(
        name=shown.setting.name,
        title=shown.setting.title,
        revision=shown.revision,
        value=dict(shown.value),
        default=shown.setting.write(shown.setting.default),
        author=stored.author if stored else None,
        changed_at=iso_utc(stored.changed_at) if stored else None,
        epoch=stored.epoch if stored else None,
        node=stored.node if stored else None,
        revision_here=shown.revision_here,
    )


def _revision_shape(past: PastRevision) -> RevisionShape:
    stored = past.stored
    return RevisionShape(
        revision=stored.revision,
        value=dict(past.value),
        changes=[FieldChangeShape(field=one.field, from_value=one.before, to_value=one.after) for one in past.changed],
        author=stored.author,
        changed_at=iso_utc(stored.changed_at),
        epoch=stored.epoch,
        node=stored.node,
    )


def _answer(shown: Shown, response: Response) -> dict[str, Any]:
    response.headers["ETag"] = tag_of(shown.revision)
    return dict(shown.value)
