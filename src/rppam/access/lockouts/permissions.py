"""Who may unlock whom: nobody the own account, since a stolen session could guess its password for ever."""

from typing import NamedTuple

from rppam.access.accounts import AccountRole
from rppam.access.lockouts.model import user_suspect
from rppam.access.rbac import Action, lacking_role, rule_for
from rppam.access.sessions import Identity


class LockOf(NamedTuple):
    """The lock of an account, or by its id that of anybody."""

    user_id: str | None = None
    lockout_id: str | None = None


@rule_for(LockOf)
def _lock(identity: Identity, action: Action, lock: LockOf) -> str:
    is_own = identity.user_id is not None and (
        lock.user_id == identity.user_id or lock.lockout_id == user_suspect(identity.subject).subject
    )
    if is_own and action is not Action.READ:
        return "nobody unlocks the own account: ask another administrator, or run 'rppam user unlock' on a node"
    return lacking_role(identity, action, (AccountRole.SECURITY_ADMIN,))
