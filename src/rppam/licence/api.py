"""The licence over REST, as the answering node's file says it now.

A node goes by what it read when it started: a file that was replaced since is shown, and counts after a restart.
"""

import asyncio
from typing import Final

from fastapi import APIRouter

from rppam.foundation import Foundation
from rppam.http.routes import ADMIN, declare
from rppam.http.schemas import Shape
from rppam.http.services import Here
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.licence.model import STANDARD_NODES, Licence, LicenceState, Tier, days_left, state_of, warning_of
from rppam.licence.service import read_licence

licence = APIRouter(tags=["cluster"])
PLACE: Final = "/api/v1/admin/licence"


class LicenceShape(Shape):
    """What is licensed; without a licence RP-PAM is Standard, and runs one node."""

    state: LicenceState
    tier: Tier
    id: str | None
    customer: str | None
    max_nodes: int
    """Of one cluster; witnesses are free."""
    max_users: int | None
    """null: no limit."""
    max_resources: int | None
    """null: no limit."""
    features: list[str]
    issued_at: str | None
    expires_at: str | None
    days_left: int | None
    """Zero or less once it has expired."""
    warning: str
    """What people should be told; empty when there is nothing."""
    problem: str
    """Why the file of the answering node is not used; empty when it is, or when there is none."""
    path: str
    """Of the file, on the answering node."""
    node: str
    """Which node answered."""


@licence.get(PLACE, summary="The licence", response_model=LicenceShape)
@declare(ADMIN)
async def show_licence(services: Here) -> LicenceShape:
    """Of the node that is asked: each has its own file, and all should say the same."""
    base = services.get(Foundation)
    found, problem = await asyncio.to_thread(read_licence, base.config.license)
    return _shape(found, problem, base, base.clock.wall_ms())


def _shape(found: Licence | None, problem: str, base: Foundation, now: WallMs) -> LicenceShape:
    warning = warning_of(found, now)
    return LicenceShape(
        state=state_of(found, now),
        tier=Tier.STANDARD if found is None else found.tier,
        id=None if found is None else found.id,
        customer=None if found is None else found.customer,
        max_nodes=STANDARD_NODES if found is None else found.max_nodes,
        max_users=None if found is None else found.max_users,
        max_resources=None if found is None else found.max_resources,
        features=[] if found is None else list(found.features),
        issued_at=None if found is None else iso_utc(found.issued_at),
        expires_at=None if found is None else iso_utc(found.expires_at),
        days_left=None if found is None else days_left(found, now),
        warning="" if warning is None else warning.sentence,
        problem=problem,
        path=str(base.config.license.path),
        node=base.node,
    )
