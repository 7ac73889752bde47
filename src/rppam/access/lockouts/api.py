"""Lockouts: who is locked out of signing in, what is under way, and unlocking.

``security_admin`` and ``pam_admin`` see and unlock, ``pam_auditor`` sees. What it does not decide: when somebody is
locked (:mod:`rppam.access.lockouts.guard`).
"""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Path, Query
from pydantic import Field

from rppam.access.accounts.api import USERS, UserId
from rppam.access.accounts.model import AccountRole
from rppam.access.lockouts.model import LockKind, Lockout, Suspect, user_suspect
from rppam.access.lockouts.service import Lockouts
from rppam.access.lockouts.tries import Standing
from rppam.access.rbac.policy import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions.model import Identity
from rppam.http.answers import NO_DATABASE, NO_USER
from rppam.http.errors import FieldFlaw, InvalidRequestError
from rppam.http.routes import declare, for_roles
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.limit import Limit

LOCKOUTS = "/api/v1/lockouts"
lockouts = APIRouter(tags=["users"])
LockoutId = Annotated[str, Path(alias="lockoutId", pattern="^[0-9a-f]{64}$")]
Name = Annotated[str | None, Query(min_length=1, max_length=256, description="As it is typed at the log-in")]
Address = Annotated[str | None, Query(min_length=1, max_length=64, description="As lockouts show it")]
_MAY = for_roles(AccountRole.SECURITY_ADMIN)


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


class TriesShape(Shape):
    """How it stands with a user name or an address that is not locked, or not yet."""

    kind: LockKind
    wrong: int = Field(description="Wrong passwords and codes within the window")
    under_way: int = Field(
        description="Tries that are being checked. They count as wrong ones do until they are over; what a node that "
        "died leaves behind lapses within seconds"
    )
    lapse_in_ms: int = Field(description="When the last of those under way lapses, unless its node renews it")
    allowed: int = Field(description="As many of both together are let in; one more waits, and wrong ones then lock")
    window_seconds: int


class TriesList(Shape):
    """How it stands with the user name and the address that were asked for."""

    items: list[TriesShape]


class Unlocked(Shape):
    """An unlock."""

    was_locked: bool


class LockOf(NamedTuple):
    """The lock of an account, or by its id that of anybody."""

    user_id: str | None = None
    lockout_id: str | None = None


@rule_for(LockOf)
def _lock(identity: Identity, action: Action, lock: LockOf) -> str:
    # A stolen session could otherwise guess the password of its account for ever.
    is_own = identity.user_id is not None and (
        lock.user_id == identity.user_id or lock.lockout_id == user_suspect(identity.subject).subject
    )
    if is_own and action is not Action.READ:
        return "nobody unlocks the own account: ask another administrator, or run 'rppam user unlock' on a node"
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,))


@lockouts.get(LOCKOUTS, summary="Who is locked out", response_model=LockoutList)
@declare(_MAY, {503: NO_DATABASE})
async def list_lockouts(services: Here) -> LockoutList:
    """Users and addresses with too many wrong passwords or codes, the newest first, at most a thousand."""
    return LockoutList(items=[_shape(one) for one in await services.get(Lockouts).all()])


@lockouts.get(f"{LOCKOUTS}/tries", summary="Tries under way", response_model=TriesList)
@declare(_MAY, {400: "Neither `username` nor `address`", 503: NO_DATABASE})
async def show_tries(services: Here, username: Name = None, address: Address = None) -> TriesList:
    """Wrong tries and tries under way of a user name, an address, or both: why somebody who is not locked waits."""
    if username is None and address is None:
        flaw = FieldFlaw("query", "expected username, address or both, found neither", "missing")
        raise InvalidRequestError([flaw])
    return TriesList(items=[_tries(*one) for one in await services.get(Lockouts).tries(username, address)])


@lockouts.delete(f"{LOCKOUTS}/{{lockoutId}}", summary="Unlock a user or an address", status_code=204)
@declare(_MAY, {400: "The id is not one", 503: NO_DATABASE}, unconditional="a lockout has nothing that anybody changes")
async def end_lockout(lockout_id: LockoutId, caller: Caller, services: Here) -> None:
    """At once on all nodes; the next lockout is a first one again. Nothing happens where nobody is locked."""
    check(caller, Action.END, LockOf(lockout_id=lockout_id))
    await services.get(Lockouts).unlock(lockout_id, caller.subject)


@lockouts.post(f"{USERS}/{{userId}}/unlock", summary="Unlock a user", response_model=Unlocked)
@declare(_MAY, NO_USER)
async def unlock_user(user_id: UserId, caller: Caller, services: Here) -> Unlocked:
    """At once on all nodes, and the wrong tries so far are forgotten; also for one who is not locked (yet)."""
    check(caller, Action.END, LockOf(user_id))
    return Unlocked(was_locked=await services.get(Lockouts).unlock_user(user_id, caller.subject) is not None)


def _tries(suspect: Suspect, limit: Limit, now: Standing) -> TriesShape:
    return TriesShape(
        kind=suspect.kind,
        wrong=now.wrong,
        under_way=now.running,
        lapse_in_ms=now.lapses_ms,
        allowed=limit.events,
        window_seconds=limit.period_ms // 1000,
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
