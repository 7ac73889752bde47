"""Who may do what: the rules about roles, in one place.

``pam_admin`` may everything; ``pam_auditor`` may read everything and change nothing; whatever else a role may do stands
beside the route that asks for it (:func:`needs`), and a route without that is for everybody who is signed in. Below
``/api/v1/admin/`` the gate itself asks, before it is known whether the path exists.

It decides by the roles as they are now (``Identity``), not as a token states them. What it
does not decide: whether the caller is who they say, nor whose sessions or accounts a route shows.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from rppam.access.accounts import AccountRole
from rppam.access.sessions import Identity
from rppam.http.errors import ForbiddenError

ADMIN_PREFIX: Final = "/api/v1/admin/"
READS: Final = frozenset({"GET", "HEAD"})


def allows(held: frozenset[str], method: str, wanted: Iterable[str]) -> bool:
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


def refusal(method: str, wanted: Iterable[str]) -> ForbiddenError:
    """The error that names the roles that would do."""
    return ForbiddenError(f"this needs the role {' or '.join(enough(method, wanted))}")


class Needs:
    """A dependency that lets through whoever has one of these roles; the reference reads :attr:`roles`."""

    def __init__(self, roles: Iterable[AccountRole]) -> None:
        self.roles: Final = frozenset(roles)

    async def __call__(self, request: Request) -> None:
        """Raises :class:`~rppam.http.errors.ForbiddenError`."""
        identity: Identity = request.state.identity
        if not allows(identity.roles, request.method, self.roles):
            raise refusal(request.method, self.roles)


def needs(*roles: AccountRole) -> Any:
    """For a route's ``dependencies``: one of ``roles``, or ``pam_admin``, or to read ``pam_auditor``."""
    return Depends(Needs(roles))


async def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


Caller = Annotated[Identity, Depends(_identity)]
"""Who is calling."""
