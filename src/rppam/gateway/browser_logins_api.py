"""Log-ins at the gateway that wait for their user's approval, over REST: on any node, whichever the gateway is on."""

from typing import Annotated, Final

from fastapi import APIRouter, Path

from rppam.access.accounts.api import own_id
from rppam.access.accounts.model import Account
from rppam.access.accounts.store import SqlAccounts
from rppam.access.rbac.policy import Caller
from rppam.access.sessions.model import Identity
from rppam.gateway.browser_logins_store import BrowserLogin, SqlBrowserLogins
from rppam.gateway.errors import ApprovalFactorNeeded
from rppam.http.answers import NO_ACCOUNT, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.services import Services

LOGINS: Final = "/api/v1/users/me/ssh-logins"
ssh_logins = APIRouter(tags=["access"])
LoginId = Annotated[str, Path(alias="sshLoginId", pattern="^[0-9a-zA-Z-]{1,36}$")]
_UNKNOWN: Final = "No log-in of the caller's waits by this id"
_NO_FACTOR: Final = "The caller's own log-in showed no second factor, or the token belongs to no account"


class SshLoginShape(Shape):
    """A log-in at the gateway that waits to be approved."""

    id: str
    phrase: str
    """What the terminal of the log-in shows as well; approve none that shows another."""
    target: str
    """Empty where it is chosen later."""
    account: str
    client: str
    """The address that it comes from."""
    made_at: str
    expires_at: str


class SshLoginList(Shape):
    """All of the caller's that wait."""

    items: list[SshLoginShape]


@ssh_logins.get(LOGINS, summary="The own log-ins that wait for an approval", response_model=SshLoginList)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def list_logins(caller: Caller, services: Here) -> SshLoginList:
    """Those of `ssh` at any gateway that gave the first factor and wait for the second one to be shown here."""
    found = await services.get(SqlBrowserLogins).of(await _account(caller, services))
    return SshLoginList(items=[_shape(one) for one in found])


@ssh_logins.post(LOGINS + "/{sshLoginId}/approve", summary="Approve a log-in at the gateway", status_code=204)
@declare(SIGNED_IN, {403: _NO_FACTOR, 404: _UNKNOWN, 503: NO_DATABASE})
async def approve_login(ssh_login_id: LoginId, caller: Caller, services: Here) -> None:
    """It stands for the second factor of that log-in, so the caller's own has to have shown one."""
    account = await _account(caller, services)
    if not caller.mfa:
        raise ApprovalFactorNeeded("this log-in of yours showed no second factor, so it cannot stand for one")
    await services.get(SqlBrowserLogins).decide(account, ssh_login_id, approve=True)


@ssh_logins.post(LOGINS + "/{sshLoginId}/refuse", summary="Refuse a log-in at the gateway", status_code=204)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 404: _UNKNOWN, 503: NO_DATABASE})
async def refuse_login(ssh_login_id: LoginId, caller: Caller, services: Here) -> None:
    """Its connection is closed. Somebody else may know the password: change it."""
    await services.get(SqlBrowserLogins).decide(await _account(caller, services), ssh_login_id, approve=False)


async def _account(caller: Identity, services: Services) -> Account:
    return (await services.get(SqlAccounts).get(own_id(caller))).account


def _shape(one: BrowserLogin) -> SshLoginShape:
    return SshLoginShape(
        id=one.id,
        phrase=one.phrase,
        target=one.target,
        account=one.account,
        client=one.client,
        made_at=iso_utc(one.made_at),
        expires_at=iso_utc(one.expires_at),
    )
