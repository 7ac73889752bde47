"""Who may do what: the rules about roles, in one place.

``pam_admin`` may everything; ``pam_auditor`` may read everything and change nothing; whatever else a role may do stands
beside the route (:func:`rppam.http.routes.declare`). Below ``/api/v1/admin/`` the gate itself asks, before it is known
whether the path exists.

It decides by the roles as they are now (``Identity``), not as a token states them. What it
does not decide: whether the caller is who they say.

Beside the roles there are rights on single objects (:func:`allows`): each slice adds the rule for its own resources.
What a caller hears without the right (:func:`check`) does not give away what exists:

* one who may not read an object gets the answer for one that does not exist, whatever was to be done with it (404);
* one who may read it and not act on it gets 403, with the reason;
* where a request names no object that could be missing (all sessions of a user) it is 403 without looking;
* below ``/api/v1/admin/`` it is 403 before it is known whether the path exists.

A resource without a rule is a mistake in the program: :class:`LookupError`, never a right.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from starlette.types import Scope

from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity
from rppam.http.errors import ForbiddenError
from rppam.http.routes import Declaration, Who

READS: Final = frozenset({"GET", "HEAD"})


def role_allows(held: frozenset[str], method: str, wanted: Iterable[str]) -> bool:
    """Whether one of ``held`` is enough for ``method`` on something that is for ``wanted``."""
    return (
        AccountRole.ADMIN in held
        or not held.isdisjoint(wanted)
        or (method in READS and AccountRole.AUDITOR in held)
    )  # fmt: skip


def enough(method: str, wanted: Iterable[str]) -> list[str]:
    return list(
        dict.fromkeys([AccountRole.ADMIN, *sorted(wanted), *((AccountRole.AUDITOR,) if method in READS else ())])
    )


def lacking(method: str, wanted: Iterable[str]) -> str:
    return f"this needs the role {' or '.join(enough(method, wanted))}"


def refusal(method: str, wanted: Iterable[str]) -> ForbiddenError:
    return ForbiddenError(lacking(method, wanted))


def check_declared(scope: Scope, declared: Declaration) -> None:
    """Raises :class:`ForbiddenError` where a route is for roles of which the caller has none."""
    if declared.access.who is Who.ROLES:
        identity: Identity = scope["state"]["identity"]
        if not role_allows(identity.roles, scope["method"], declared.access.roles):
            raise refusal(scope["method"], declared.access.roles)


async def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


Caller = Annotated[Identity, Depends(_identity)]
"""Who is calling."""


# ---- single objects --------------------------------------------------------------------------------------------------


class Action(StrEnum):
    READ = "read"
    CHANGE = "change"
    END = "end"
    """Delete it, revoke it, take it away."""


R = TypeVar("R")
Rule = Callable[[Identity, Action, R], str]
"""Why not; empty where it may be done."""
_RULES: Final[dict[type[Any], Rule[Any]]] = {}


def rule_for(kind: type[R]) -> Callable[[Rule[R]], Rule[R]]:
    """Make the decorated function the one rule for resources of ``kind``."""

    def add(rule: Rule[R]) -> Rule[R]:
        if kind in _RULES:
            raise LookupError(f"there is a rule for {kind.__name__} already: {_RULES[kind].__module__}")
        _RULES[kind] = rule
        return rule

    return add


def why_not(identity: Identity, action: Action, resource: object) -> str:
    """Why ``identity`` may not do it, in a sentence for the caller; empty where it may."""
    rule = _RULES.get(type(resource))
    if rule is None:
        raise LookupError(f"no rule says who may {action} a {type(resource).__name__}: see rule_for()")
    return rule(identity, action, resource)


def allows(identity: Identity, action: Action, resource: object) -> bool:
    return not why_not(identity, action, resource)


def check(identity: Identity, action: Action, resource: object, missing: Exception | None = None) -> None:
    """Raise what the caller hears: see the module. ``missing`` is raised for a resource that is ``None``, too."""
    if resource is None and missing is not None:
        raise missing
    if not (reason := why_not(identity, action, resource)):
        return
    if missing is not None and not allows(identity, Action.READ, resource):
        raise missing
    raise ForbiddenError(reason)


def lacking_role(identity: Identity, action: Action, roles: Iterable[str]) -> str:
    """The reason where ``identity`` has none of ``roles`` nor one that is enough anyway; else empty."""
    method = "GET" if action is Action.READ else "PUT"
    return "" if role_allows(identity.roles, method, roles) else lacking(method, roles)
