"""Who may take whose second factor away without a code."""

from typing import NamedTuple

from rppam.access.accounts import AccountRole
from rppam.access.rbac import Action, lacking_role, rule_for
from rppam.access.sessions import Identity


class FactorOf(NamedTuple):
    """The second factor of an account."""

    user_id: str
    roles: frozenset[str]
    """The account's; not needed where the caller is ``pam_admin``, or it is the own one."""


@rule_for(FactorOf)
def _factor(identity: Identity, action: Action, factor: FactorOf) -> str:
    if factor.user_id == identity.user_id:
        return "the own second factor is taken away with a code, by POST /api/v1/auth/mfa/disable"
    # Who may less must not open the way to an account that may more.
    enough = () if AccountRole.ADMIN in factor.roles else (AccountRole.SECURITY_ADMIN,)
    return lacking_role(identity, action, enough)
