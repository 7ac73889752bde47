"""How a target is reached to change a secret there: as sessions reach it, through what lies on the way.

The way is looked up once for each run of a rotation: the setting ``access/ssh`` from SQL, the secrets of what lies on
the way from the vault, which records their use. Where there is no way, the target is not asked, and that is said. A
database goes the way that an SSH server with its tags would go.
"""

from collections.abc import Sequence
from typing import Protocol

from rppam.db.database import Database
from rppam.gateway.errors import GatewayError
from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import Route
from rppam.gateway.routes import CatalogueHosts, VaultRoutes
from rppam.gateway.ways import way_to
from rppam.rotation.requests import Answer, Hop, Login, Pin, Request
from rppam.rotation.store import Claimed
from rppam.settings.hot import value_in_sql
from rppam.settings.store import SqlSettingsStore
from rppam.targets.model import ReadKey
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.vault.sealing import Keyring
from rppam.vault.service import Vault


class Asks(Protocol):
    """What touches targets."""

    async def ask(self, request: Request) -> Answer:
        """Do one thing."""
        ...


class Ways:
    """See the module. Raises a ``DatabaseError`` when the database does not answer."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._settings, self._resources = SqlSettingsStore(database), SqlResources(database)
        vault = Vault(database, keyring, lambda: None)
        self._routes = VaultRoutes(self._resources, SqlTargetAccounts(database), vault)
        self._hosts = CatalogueHosts(self._resources)

    async def through(self, claimed: Claimed, hands: Asks) -> Asks:
        """``hands``, which go to the target of a rotation by the way that leads there now."""
        resource = await self._resources.get(claimed.target_id)
        name = claimed.username
        route = Route(
            resource.id, resource.name, claimed.host, claimed.port, claimed.entry.account_id or "", name, name,
            tags=resource.tags, legacy=resource.legacy_algorithms,
        )  # fmt: skip
        try:
            policy = await value_in_sql(self._settings, ACCESS)
            hops = [await self._hop(claimed, hop) for hop in await way_to(route, policy.via, self._routes)]
        except GatewayError as error:
            return _NoWay(str(error))
        return _Through(hands, hops, self._resources, legacy=route.legacy)

    async def _hop(self, claimed: Claimed, hop: Route) -> Hop:
        found = await self._routes.open_for(hop, f"the way to {claimed.target} for rotation {claimed.id}")
        login = Login(hop.username, found.password, found.private_key, found.passphrase)
        pins = tuple(Pin(*pin) for pin in await self._hosts.of(hop.target_id))
        return Hop(hop.target_id, hop.target, hop.host, hop.port, hop.trust, pins, login, hop.legacy)


class _Through:
    """Goes by a way, and pins the first keys that were shown on it."""

    def __init__(self, hands: Asks, hops: Sequence[Hop], resources: SqlResources, *, legacy: bool) -> None:
        self._hands, self._hops, self._resources, self._legacy = hands, hops, resources, legacy

    async def ask(self, request: Request) -> Answer:
        answer = await self._hands.ask(request._replace(hops=self._hops, legacy=self._legacy))
        for hop, shown in zip(self._hops, answer.hop_keys, strict=False):  # it may have come to some of them alone
            if shown:
                await pin(self._resources, hop.target_id, shown)
        return answer


class _NoWay:
    """Asks nobody."""

    def __init__(self, why: str) -> None:
        self._why = why

    async def ask(self, request: Request) -> Answer:
        return request.unasked(self._why)


async def pin(resources: SqlResources, target_id: str, shown: Sequence[str]) -> None:
    """Pin the first key that a target has shown."""
    algorithm, public, fingerprint = shown
    await resources.pin(target_id, ReadKey(algorithm, public.split()[1], fingerprint), first=True)
