"""Rights on single objects, beside the roles: :func:`allows`. Pure; each slice adds the rule for its own resources.

A role opens a route, a rule decides about the object that the route is asked for. What a caller hears without the right
(:func:`check`), so that nobody finds out by it what exists:

* who may not read an object gets the answer for one that does not exist, whatever was to be done with it (404);
* who may read it and not act on it gets 403, with the reason;
* where a request names no object that could be missing (all sessions of a user) it is 403 without looking;
* below ``/api/v1/admin/`` it is 403 before it is known whether the path exists.

A resource without a rule is a mistake in the program: :class:`LookupError`, never a right.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, Final, TypeVar

from rppam.access.rbac.policy import lacking, role_allows
from rppam.access.sessions import Identity
from rppam.http.errors import ForbiddenError


class Action(StrEnum):
    """What is to be done with an object."""

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
    """Whether ``identity`` may do it."""
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
