"""Whose sessions somebody may see and end: the own ones; as ``security_admin`` everybody's."""

from typing import Final, NamedTuple

from rppam.access.accounts import AccountRole
from rppam.access.rbac import Action, lacking_role, rule_for
from rppam.access.sessions.model import Identity, SessionLine

_MANAGERS: Final = (AccountRole.SECURITY_ADMIN,)


class SessionsOf(NamedTuple):
    """All sessions of an account; of everybody where it is ``None``."""

    user_id: str | None


@rule_for(SessionsOf)
def _sessions_of(identity: Identity, action: Action, whose: SessionsOf) -> str:
    if whose.user_id is not None and whose.user_id == identity.user_id:
        return ""
    return lacking_role(identity, action, _MANAGERS)


@rule_for(SessionLine)
def _session(identity: Identity, action: Action, line: SessionLine) -> str:
    return "" if line.id == identity.session_id else _sessions_of(identity, action, SessionsOf(line.user_id))
