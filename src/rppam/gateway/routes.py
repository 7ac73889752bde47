"""Where one may go: the SSH targets of this cluster, and what the vault opens them with.

Who may connect to an account is who may use its secret; so whoever has no right on it learns neither of the account nor
of its target.
"""

from rppam.access.sessions.model import Identity
from rppam.gateway.errors import RouteUnknown
from rppam.gateway.model import PinnedKey
from rppam.gateway.ports import Credential, Route
from rppam.targets.model import ReadKey
from rppam.targets.store import SqlResources


class CatalogueHosts:
    """The host keys that are pinned for resources."""

    def __init__(self, resources: SqlResources) -> None:
        self._resources = resources

    async def of(self, target_id: str) -> list[PinnedKey]:
        """Those that are pinned for a target."""
        found = await self._resources.host_keys(target_id)
        return [PinnedKey(one.type, one.line, one.fingerprint) for one in found if one.type != "x509"]

    async def pin(self, target_id: str, key: PinnedKey) -> None:
        """Pin the first one that a target has shown."""
        await self._resources.pin(target_id, ReadKey(key.algorithm, key.public.split()[1], key.fingerprint), first=True)


class NoRoutes:
    """Where there is no vault, nobody can go anywhere."""

    async def all(self, identity: Identity) -> list[Route]:  # noqa: ARG002
        """See :class:`~rppam.gateway.ports.Routes`."""
        return []

    async def find(self, identity: Identity, target: str, account: str) -> Route:  # noqa: ARG002
        """See :class:`~rppam.gateway.ports.Routes`."""
        raise RouteUnknown("there is no such target, or you have no access to it")

    async def open(self, identity: Identity, route: Route, session: str) -> Credential:  # noqa: ARG002
        """See :class:`~rppam.gateway.ports.Routes`."""
        raise RouteUnknown("there is no such target, or you have no access to it")
