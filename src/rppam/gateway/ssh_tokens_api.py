"""One-time tokens for the gateway over REST: each lets its user in once, to one target, instead of the password."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Response
from pydantic import Field

from rppam.access.rbac.policy import Caller
from rppam.gateway.ssh_tokens_service import MINUTES, SshTokens
from rppam.gateway.ssh_tokens_store import MINUTES_MAX, SshToken
from rppam.http.answers import BODY, NO_ACCOUNT, NO_DATABASE
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc

TOKENS: Final = "/api/v1/users/me/ssh-tokens"
ssh_tokens = APIRouter(tags=["access"])
TokenId = Annotated[str, Path(alias="sshTokenId", pattern="^[0-9a-zA-Z-]{1,36}$")]


class NewSshToken(Shape):
    """What a token is to be for."""

    target: Annotated[str, Field(min_length=1, max_length=128)]
    """Name of the target, as in `USER+TARGET`."""
    account: Annotated[str, Field(max_length=128)] = ""
    """Account on the target; left out: whichever one may have there."""
    minutes: Annotated[int, Field(ge=1, le=MINUTES_MAX)] = MINUTES
    """How long it can be used."""


class SshTokenShape(Shape):
    """A token that can still be used."""

    id: str
    target: str
    account: str
    made_at: str
    expires_at: str


class MadeSshToken(SshTokenShape):
    """A new token."""

    token: str
    """What to type as the password; shown this once."""


class SshTokenList(Shape):
    """All of the caller's that can still be used."""

    items: list[SshTokenShape]


@ssh_tokens.get(TOKENS, summary="The own tokens for the gateway", response_model=SshTokenList)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def list_tokens(caller: Caller, services: Here) -> SshTokenList:
    """Those that were not used yet and have not expired; what to type is not shown again."""
    return SshTokenList(items=[_shape(one) for one in await services.get(SshTokens).of(caller)])


@ssh_tokens.post(TOKENS, summary="Make a token for one log-in", status_code=201, response_model=MadeSshToken)
@declare(
    SIGNED_IN,
    {
        **BODY,
        403: NO_ACCOUNT,
        404: "No such target, or no access to it",
        429: "There are too many unused ones",
        503: NO_DATABASE,
    },
)
async def make_token(body: NewSshToken, caller: Caller, services: Here, response: Response) -> MadeSshToken:
    """For a program or a window without the password: it counts once, for this target, on any node, for some minutes.

    It stands for the second factor as well where the caller's own log-in had one.
    """
    made, secret = await services.get(SshTokens).make(caller, body.target, body.account, body.minutes)
    response.headers["Location"] = f"{TOKENS}/{made.id}"
    return MadeSshToken(**_shape(made).model_dump(), token=secret.reveal())


@ssh_tokens.delete(TOKENS + "/{sshTokenId}", summary="Take a token away", status_code=204)
@declare(
    SIGNED_IN,
    {403: NO_ACCOUNT, 404: "No such token that could still be used", 503: NO_DATABASE},
    unconditional="it never changes",
)
async def revoke_token(ssh_token_id: TokenId, caller: Caller, services: Here) -> None:
    """It counts no more; a session that was begun with one goes on."""
    await services.get(SshTokens).revoke(caller, ssh_token_id)


def _shape(one: SshToken) -> SshTokenShape:
    return SshTokenShape(
        id=one.id,
        target=one.target,
        account=one.account,
        made_at=iso_utc(one.made_at),
        expires_at=iso_utc(one.expires_at),
    )
