"""Who may do what: the rules about roles, in one place.

``pam_admin`` may everything; ``pam_auditor`` may read everything and change nothing; whatever else a role may do stands
beside the route (:func:`rppam.http.routes.declare`). Below ``/api/v1/admin/`` the gate itself asks, before it is known
whether the path exists.

It decides by the roles as they are now (``Identity``), not as a token states them. What it
does not decide: whether the caller is who they say, nor anything about single objects (:mod:`.objects`).
"""

from collections.abc import Iterable
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.types import Scope

from rppam.access.accounts import AccountRole
from rppam.access.sessions import Identity
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
    """The roles that would do."""
    return list(
        dict.fromkeys([AccountRole.ADMIN, *sorted(wanted), *((AccountRole.AUDITOR,) if method in READS else ())])
    )


def lacking(method: str, wanted: Iterable[str]) -> str:
    """The sentence that names the roles that would do."""
    return f"this needs the role {' or '.join(enough(method, wanted))}"


def refusal(method: str, wanted: Iterable[str]) -> ForbiddenError:
    """The error that names the roles that would do."""
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
