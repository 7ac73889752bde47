"""What lies on the way to a target that is behind others: for sessions, and for whoever changes its secret.

The setting ``access/ssh`` says with ``via`` that the targets with a tag are reached through another one, which may
itself lie behind a third. A loop, or more than :data:`JUMPS_MAX`, is refused before anything is connected to. It
connects to nothing itself.
"""

from collections.abc import Sequence
from typing import Final

from rppam.gateway.errors import JumpUnusable
from rppam.gateway.ports import Route, Routes

JUMPS_MAX: Final = 4


async def way_to(route: Route, via: Sequence[str], routes: Routes) -> list[Route]:
    """What lies on the way to a target, the first to be reached first; empty: it is reached by itself.

    Raises :class:`~rppam.gateway.errors.JumpUnusable`.
    """
    found: list[Route] = []
    at = route
    while (named := _through(at, via)) is not None:
        account, _, target = named.rpartition("+")
        at = await routes.between(target, account)
        names = [route.target, *(one.target for one in found), at.target]
        if at.target_id in {route.target_id, *(one.target_id for one in found)}:
            raise JumpUnusable(f"the way to {route.target} is a loop: {' through '.join(names)}")
        if len(found) == JUMPS_MAX:
            raise JumpUnusable(f"the way to {route.target} is longer than {JUMPS_MAX}: {' through '.join(names)}")
        found.append(at)
    return found[::-1]


def _through(route: Route, via: Sequence[str]) -> str | None:
    """What stands in the first line of ``via`` whose tag the target has."""
    for line in via:
        tag, _, named = line.partition("=")
        if tag in route.tags:
            return named
    return None


def in_words(names: Sequence[str]) -> str:
    """A way, for people: the nearest to the target last."""
    return " and ".join(names)
