"""What a route declares about itself: who may call it, what no limit counts, what it answers, and whether it streams.

The declaration stands beside the handler (:func:`declare`). Authentication, rate limits, request slots and the OpenAPI
description read it; a route without one is refused when the application is built.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

ADMIN_PREFIX: Final = "/api/v1/admin/"
"""Everything below needs ``pam_admin``, or to read ``pam_auditor``; whether a path exists is told only to them."""
_ATTRIBUTE: Final = "__rppam_declaration__"
F = TypeVar("F", bound=Callable[..., Any])


class UndeclaredRouteError(TypeError):
    """A route declares nothing, or something that cannot hold. A mistake in the program: it does not start."""


class Who(StrEnum):
    """Whom a route is for."""

    ANYBODY = "anybody"
    OPTIONAL = "optional"
    """Passes without a token, and with a cookie of a past session; the handler then asks for something else."""
    SIGNED_IN = "signed-in"
    ROLES = "roles"
    ADMIN = "admin"
    """By the rule of :data:`ADMIN_PREFIX`."""


class Kind(StrEnum):
    """What an answer is."""

    ANSWER = "answer"
    """Complete within the time for an answer."""
    EVENTS = "events"
    """Server-sent events."""
    SOCKET = "socket"
    """A WebSocket."""


class Access(NamedTuple):
    """Whom a route is for, with the roles that are enough beside ``pam_admin``."""

    who: Who
    roles: frozenset[str] = frozenset()


ANYBODY: Final = Access(Who.ANYBODY)
OPTIONAL: Final = Access(Who.OPTIONAL)
SIGNED_IN: Final = Access(Who.SIGNED_IN)
ADMIN: Final = Access(Who.ADMIN)


def for_roles(*roles: str) -> Access:
    """For ``roles`` and ``pam_admin``, and to read for ``pam_auditor``."""
    return Access(Who.ROLES, frozenset(roles))


class Declaration(NamedTuple):
    """See the module."""

    access: Access
    answers: Mapping[int, str]
    """Problem documents it answers with, beyond those that every such route has."""
    counted: bool
    """Whether limits of requests count it."""
    uncounted_paths: frozenset[str]
    """Paths of it that no limit counts."""
    in_outage: bool
    """Whether a genuine token of a right role is enough to read it while neither cache nor database answers."""
    kind: Kind
    unconditional: str
    """Why a change of what stands takes no ``If-Match``; a part of a sentence, empty where it takes it."""

    @property
    def streams(self) -> bool:
        """Whether it has the budget of streams instead of the time for an answer."""
        return self.kind is not Kind.ANSWER


def declare(
    access: Access,
    answers: Mapping[int, str] | None = None,
    *,
    counted: bool = True,
    uncounted_paths: frozenset[str] = frozenset(),
    in_outage: bool = False,
    kind: Kind = Kind.ANSWER,
    unconditional: str = "",
) -> Callable[[F], F]:
    """Declare the route whose handler this decorates. Stands below the router's own decorator.

    A PUT, PATCH or DELETE takes ``If-Match`` (:data:`rppam.http.revisions.Expected`), or says in ``unconditional`` why
    nobody's change can be lost by it.
    """
    declaration = Declaration(access, answers or {}, counted, uncounted_paths, in_outage, kind, unconditional)

    def mark(handler: F) -> F:
        setattr(handler, _ATTRIBUTE, declaration)
        return handler

    return mark


def declaration_of(path: str, handler: Callable[..., Any]) -> Declaration:
    """What the route at ``path`` declares. Raises :class:`UndeclaredRouteError`."""
    found = getattr(handler, _ATTRIBUTE, None)
    name = getattr(handler, "__name__", repr(handler))
    if not isinstance(found, Declaration):
        raise UndeclaredRouteError(
            f"the route {path} ({name}) does not declare who may call it: put @declare(...) of rppam.http.routes "
            "between the router's decorator and the function"
        )
    if path.startswith(ADMIN_PREFIX) is not (found.access.who is Who.ADMIN):
        raise UndeclaredRouteError(
            f"the route {path} ({name}) declares {found.access.who.value!r}: ADMIN is for the paths below "
            f"{ADMIN_PREFIX} and for no other"
        )
    exact = found.access.who in {Who.ANYBODY, Who.OPTIONAL} or found.in_outage or not found.counted
    if "{" in path and exact:
        raise UndeclaredRouteError(
            f"the route {path} ({name}) is open, uncounted or answers in an outage, which holds for whole paths only: "
            "take the parameter out of the path, or name the paths in uncounted_paths"
        )
    return found
