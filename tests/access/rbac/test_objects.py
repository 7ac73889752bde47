"""Rights on single objects: who may what, and what is heard without the right."""

from typing import Any

import pytest

from rppam.access.lockouts.api import LockOf
from rppam.access.lockouts.model import user_suspect
from rppam.access.mfa.api import FactorOf
from rppam.access.rbac.policy import Action, allows, check, rule_for, why_not
from rppam.access.sessions.api import SessionsOf
from rppam.access.sessions.model import Identity, SessionKind, SessionLine
from rppam.http.errors import ForbiddenError, NotFoundError
from rppam.kernel.instant import WallMs
from rppam.limits.policy import LIMITS
from rppam.manager import settings_api

ROLES = ("pam_user", "pam_approver", "security_admin", "pam_auditor", "pam_admin", "a_role_of_tomorrow")
READS = {"security_admin", "pam_auditor", "pam_admin"}
ACTS = {"security_admin", "pam_admin"}
RULES = settings_api.SETTINGS_PATH
"""Importing it adds the rule for settings."""


def caller(*roles: str, user_id: str | None = "u1", session_id: str = "s1") -> Identity:
    return Identity("anna", user_id, frozenset(roles), session_id, SessionKind.LOGIN, mfa=False)


def session(session_id: str = "s2", user_id: str | None = "u2") -> SessionLine:
    kind, noon = SessionKind.LOGIN, WallMs(0)
    return SessionLine(session_id, user_id, "bob", kind, False, noon, noon, noon, "", "", "node1")


OTHERS = [session(), session(user_id=None), SessionsOf("u2"), SessionsOf(None)]


@pytest.mark.parametrize("resource", OTHERS)
@pytest.mark.parametrize("role", ROLES)
def test_somebody_elses_sessions_take_a_role(role: str, resource: Any) -> None:
    for user_id in ("u1", None):
        one = caller(role, user_id=user_id)
        assert allows(one, Action.READ, resource) is (role in READS)
        assert allows(one, Action.END, resource) is (role in ACTS)


@pytest.mark.parametrize("action", list(Action))
def test_own_sessions_take_none(action: Action) -> None:
    for own in (session(user_id="u1"), session("s1", None), SessionsOf("u1")):
        assert allows(caller("pam_user"), action, own)
    assert not allows(caller(user_id=None), action, session(user_id=None)), "two tokens of hosts are not one another's"


@pytest.mark.parametrize("lock", [LockOf("u1"), LockOf(lockout_id=user_suspect("anna").subject)])
def test_nobody_unlocks_the_own_account(lock: LockOf) -> None:
    for role in ROLES:
        assert not allows(caller(role), Action.END, lock)
        assert allows(caller(role), Action.READ, lock) is (role in READS)
        assert allows(caller(role), Action.END, LockOf("u2", "0" * 64)) is (role in ACTS)
    assert "rppam user unlock" in why_not(caller("pam_admin"), Action.END, lock)


def test_a_second_factor_is_taken_away_by_nobody_who_may_less() -> None:
    admin, plain = FactorOf("u2", frozenset({"pam_admin"})), FactorOf("u2", frozenset({"pam_user"}))
    assert not allows(caller("security_admin"), Action.END, admin)
    assert allows(caller("security_admin"), Action.END, plain)
    assert allows(caller("pam_admin"), Action.END, admin)
    assert "disable" in why_not(caller("pam_admin"), Action.END, FactorOf("u1", frozenset()))


def test_security_settings_are_changed_by_security_administrators_and_no_others() -> None:
    assert allows(caller("security_admin"), Action.CHANGE, LIMITS)
    assert not allows(caller("pam_auditor"), Action.CHANGE, LIMITS)
    assert allows(caller("pam_auditor"), Action.READ, LIMITS)


def test_who_may_not_read_hears_that_it_does_not_exist() -> None:
    gone = NotFoundError("nothing here")
    heard = []
    for resource in (None, session()):
        with pytest.raises(NotFoundError) as caught:
            check(caller("pam_user"), Action.END, resource, gone)
        heard.append(str(caught.value))
    assert heard[0] == heard[1]
    with pytest.raises(ForbiddenError, match="this needs the role pam_admin or security_admin"):
        check(caller("pam_auditor"), Action.END, session(), gone)
    with pytest.raises(ForbiddenError, match="this needs the role pam_admin or security_admin or pam_auditor"):
        check(caller("pam_user"), Action.READ, SessionsOf("u2"))
    check(caller("security_admin"), Action.END, session(), gone)


def test_a_resource_without_a_rule_is_no_right_and_a_second_rule_is_refused() -> None:
    with pytest.raises(LookupError, match="no rule says who may end a str"):
        allows(caller("pam_admin"), Action.END, "something")
    with pytest.raises(LookupError, match="there is a rule for SessionLine already: rppam"):
        rule_for(SessionLine)(lambda *_: "")
