"""Public keys over REST, the own ones and those of others: what one logs in to the gateway with beside the password."""

import logging
from typing import Annotated, Final, NamedTuple

from fastapi import APIRouter, Path, Request
from pydantic import Field

from rppam.access.accounts.api import USERS, UserId, own_id
from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.service import UserAdministration, publish_user
from rppam.access.rbac.policy import Action, Caller, check, lacking_role, rule_for
from rppam.access.sessions.api import check_owner
from rppam.access.sessions.model import Identity
from rppam.foundation import Foundation
from rppam.gateway.errors import UserKeyInvalid
from rppam.gateway.user_keys_store import COMMENT_CHARS, SqlUserKeys, UserKey
from rppam.http.answers import BODY, GUESSES, NO_ACCOUNT, NO_DATABASE, NO_USER, NOT_OWNER
from rppam.http.routes import SIGNED_IN, declare, for_roles
from rppam.http.schemas import Password, Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.kernel.services import Services
from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import read_host_key

log = logging.getLogger(__name__)
KEYS: Final = "/api/v1/users/me/ssh-keys"
TYPES: Final = frozenset(
    {
        "ssh-ed25519",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-rsa",
    }
)
"""Keys of the type ``ssh-rsa`` sign by SHA-2; signatures by SHA-1 are not taken."""
user_keys = APIRouter(tags=["access"])
KeyId = Annotated[str, Path(alias="sshKeyId", pattern="^[0-9a-zA-Z-]{1,36}$")]


class NewUserKey(Shape):
    """A public key as OpenSSH writes it."""

    key: Annotated[str, Field(min_length=20, max_length=16_000)]
    """`ssh-ed25519 AAAA... comment`."""
    current_password: Password | None = None
    """Needed where the session began more than ten minutes ago."""


class UserKeyShape(Shape):
    """A public key."""

    id: str
    type: str
    key: str
    fingerprint: str
    comment: str
    added_at: str


class UserKeyList(Shape):
    """All of the caller's."""

    items: list[UserKeyShape]


@user_keys.get(KEYS, summary="The own SSH keys", response_model=UserKeyList)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 503: NO_DATABASE})
async def list_keys(caller: Caller, services: Here) -> UserKeyList:
    """With which one logs in to the gateway."""
    found = await services.get(SqlUserKeys).of(own_id(caller))
    return UserKeyList(items=[_shape(one) for one in found])


@user_keys.post(KEYS, summary="Add an own SSH key", status_code=201, response_model=UserKeyShape)
@declare(SIGNED_IN, {**BODY, 403: NOT_OWNER, 429: GUESSES, 503: NO_DATABASE})
async def add_key(body: NewUserKey, request: Request, caller: Caller, services: Here) -> UserKeyShape:
    """It counts at once, on all nodes. Where a second factor is asked for, it follows the key.

    A stolen session must not serve to add one: it takes the password, unless the session began just now.
    """
    ident = own_id(caller)
    try:
        read = read_host_key(body.key)
    except ResourceInvalid as error:
        raise UserKeyInvalid(str(error)) from None
    if read.type not in TYPES:
        raise UserKeyInvalid(f"keys of the type {read.type} are not taken")
    words = body.key.split(None, 2)
    comment = "".join(char for char in words[2][:COMMENT_CHARS] if char.isprintable()) if len(words) > 2 else ""
    await check_owner(request, services, ident, body.current_password)
    new = UserKey("", ident, read.type, read.key, read.fingerprint, comment, WallMs(0))
    return _shape(await services.get(SqlUserKeys).add(new, caller.subject))


@user_keys.delete(KEYS + "/{sshKeyId}", summary="Take an own SSH key away", status_code=204)
@declare(SIGNED_IN, {403: NO_ACCOUNT, 404: "No such key", 503: NO_DATABASE}, unconditional="a key never changes")
async def remove_key(ssh_key_id: KeyId, caller: Caller, services: Here) -> None:
    """No log-in is possible with it any more; sessions that run go on."""
    await services.get(SqlUserKeys).remove(own_id(caller), ssh_key_id, caller.subject)


class UserKeysOf(NamedTuple):
    """The SSH keys of an account that is not the caller's."""

    user_id: str
    roles: frozenset[str]
    """The account's."""


@rule_for(UserKeysOf)
def _keys_of(identity: Identity, action: Action, of: UserKeysOf) -> str:
    if action is not Action.READ and of.user_id == identity.user_id:
        return "the own keys are taken away one by one, by DELETE /api/v1/users/me/ssh-keys/{sshKeyId}"
    # As for passkeys: a lesser role must not end the log-ins of an account with more rights.
    enough = () if action is not Action.READ and AccountRole.ADMIN in of.roles else (AccountRole.SECURITY_ADMIN,)
    return lacking_role(identity, action, enough)


@user_keys.get(f"{USERS}/{{userId}}/ssh-keys", summary="The SSH keys of an account", response_model=UserKeyList)
@declare(for_roles(AccountRole.SECURITY_ADMIN), NO_USER)
async def list_keys_of(user_id: UserId, caller: Caller, services: Here) -> UserKeyList:
    """With which it logs in to the gateway, for those who may take that away."""
    await _may(caller, Action.READ, user_id, services)
    return UserKeyList(items=[_shape(one) for one in await services.get(SqlUserKeys).of(user_id)])


@user_keys.delete(f"{USERS}/{{userId}}/ssh-keys", summary="Take all SSH keys of an account away", status_code=204)
@declare(for_roles(AccountRole.SECURITY_ADMIN), NO_USER, unconditional="it ends whatever keys there are")
async def reset_keys(user_id: UserId, caller: Caller, services: Here) -> None:
    """For a lost or stolen laptop. All log-ins of the account end, and its certificates of the cluster's authority
    count no more; sessions with targets go on.

    Only `pam_admin` resets another administrator's.
    """
    await _may(caller, Action.END, user_id, services)
    account = await services.get(SqlUserKeys).reset(user_id)
    await publish_user(services.get(Foundation).cache, account)
    log.warning("%s took all SSH keys of %s away.", caller.subject, account.name)


async def _may(caller: Identity, action: Action, user_id: str, services: Services) -> None:
    roles = (await services.get(UserAdministration).get(user_id)).roles
    check(caller, action, UserKeysOf(user_id, frozenset(roles)))


def _shape(one: UserKey) -> UserKeyShape:
    return UserKeyShape(
        id=one.id,
        type=one.type,
        key=one.key,
        fingerprint=one.fingerprint,
        comment=one.comment,
        added_at=iso_utc(one.added_at),
    )
