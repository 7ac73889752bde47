"""The parts of requests for access in one process."""

from typing import Final

from sqlalchemy import Connection

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.health.ports import Authority
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services
from rppam.requests.errors import RequestError
from rppam.requests.model import ObjectKind
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.store import SqlRequests
from rppam.requests.telling_store import HolderTold
from rppam.requests.vault_grants import VaultGrants
from rppam.targets.store import account_in
from rppam.vault.ports import Grants, Tells
from rppam.vault.store import entry_in

SWEEP_EVERY_S: Final = 1.0
GONE_EVERY: Final = 5
"""Each so-many-th sweep looks for the requests of accounts that were disabled."""
SWEEP_MAX: Final = 200


def wire(base: Foundation, services: Services) -> None:
    """Offer requests and policies."""
    services.add(SqlPolicies, SqlPolicies(base.database))
    services.add(SqlRequests, SqlRequests(base.database, find_object))
    services.add(Grants, VaultGrants())
    services.add(Tells, HolderTold())


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Expire what has run out, and warn before."""
    sweep = Sweep(SqlRequests(base.database, find_object), base.node, base.boot_id)
    return [RepeatedTask("the expiry of grants and requests", SWEEP_EVERY_S, sweep.run)]


class Sweep:
    """What time does to requests, written down. That they are over does not wait for it."""

    def __init__(self, requests: SqlRequests, node: str, boot_id: str) -> None:
        self._requests, self._node, self._boot_id = requests, node, boot_id
        self._turn = 0

    async def run(self, epoch: int) -> int:
        """One sweep; how many requests it has looked at. Raises :class:`~rppam.http.errors.FencedError`."""
        authority = Authority(epoch, self._boot_id)
        due = await self._requests.due(SWEEP_MAX)
        if self._turn % GONE_EVERY == 0:
            due += [one for one in await self._requests.of_gone_requesters(SWEEP_MAX) if one not in due]
        self._turn += 1
        for ident in due:
            try:
                await self._requests.tick(authority, self._node, ident)
            except RequestError:  # somebody else was there first; the next sweep looks again
                continue
        return len(due)


def find_object(connection: Connection, kind: ObjectKind, ident: str) -> str:
    """The name of what access is asked for. Raises ``TargetAccountUnknown``, ``EntryUnknown``."""
    if kind is ObjectKind.ACCOUNT:
        account = account_in(connection, ident)
        return f"{account.name}@{account.resource_name}"
    return entry_in(connection, ident).name
