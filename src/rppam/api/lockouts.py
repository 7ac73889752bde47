"""Lockouts: who is locked out of signing in, and unlocking.

``security_admin`` and ``pam_admin`` see and unlock, ``pam_auditor`` sees. Nobody unlocks the own account: whoever
took a session could guess its password and codes for ever. What it does not decide: when somebody is locked
(:mod:`rppam.services.login_guard`).
"""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from rppam.api.access import Caller, needs
from rppam.api.routes import Parts
from rppam.api.shapes import Shape
from rppam.api.times import iso_utc
from rppam.api.users import USERS, UserId
from rppam.domain.account import AccountRole
from rppam.domain.errors.request import ForbiddenError
from rppam.domain.lockout import LockKind, Lockout, user_suspect

LOCKOUTS = "/api/v1/lockouts"
lockouts = APIRouter(tags=["users"])
LockoutId = Annotated[str, Path(alias="lockoutId", pattern="^[0-9a-f]{64}$")]
_MAY = [needs(AccountRole.SECURITY_ADMIN)]


class LockoutShape(Shape):
    """Somebody who may not try to sign in for a while."""

    id: str
    kind: LockKind
    name: str | None = Field(description="The user name or the address. null: no account has the name that was tried")
    level: int = Field(description="How often in a row; each lockout is twice as long as the one before")
    since: str
    until: str
    seconds_left: int


class LockoutList(Shape):
    """Who is locked now, the newest first."""

    items: list[LockoutShape]


class Unlocked(Shape):
    """An unlock."""

    was_locked: bool


@lockouts.get(LOCKOUTS, summary="Who is locked out", response_model=LockoutList, dependencies=_MAY)
async def list_lockouts(parts: Parts) -> LockoutList:
    """Users and addresses with too many wrong passwords or codes, the newest first, at most a thousand."""
    return LockoutList(items=[_shape(one) for one in await parts.lockouts.all()])


@lockouts.delete(f"{LOCKOUTS}/{{lockoutId}}", summary="Unlock a user or an address", status_code=204, dependencies=_MAY)
async def end_lockout(lockout_id: LockoutId, caller: Caller, parts: Parts) -> None:
    """At once on all nodes; the next lockout is a first one again. Nothing happens where nobody is locked."""
    if caller.user_id is not None and lockout_id == user_suspect(caller.subject).subject:
        raise _own()
    await parts.lockouts.unlock(lockout_id, caller.subject)


@lockouts.post(f"{USERS}/{{userId}}/unlock", summary="Unlock a user", response_model=Unlocked, dependencies=_MAY)
async def unlock_user(user_id: UserId, caller: Caller, parts: Parts) -> Unlocked:
    """At once on all nodes, and the wrong tries so far are forgotten; also for one who is not locked (yet)."""
    if user_id == caller.user_id:
        raise _own()
    return Unlocked(was_locked=await parts.lockouts.unlock_user(user_id, caller.subject) is not None)


def _own() -> ForbiddenError:
    return ForbiddenError(
        "nobody unlocks the own account: ask another administrator, or run 'rppam user unlock' on a node"
    )


def _shape(lockout: Lockout) -> LockoutShape:
    return LockoutShape(
        id=lockout.subject,
        kind=lockout.kind,
        name=lockout.shown or None,
        level=lockout.level,
        since=iso_utc(lockout.since),
        until=iso_utc(lockout.until),
        seconds_left=-(-lockout.left_ms // 1000),
    )
