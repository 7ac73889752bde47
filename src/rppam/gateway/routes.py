"""Where one may go: the SSH targets of this cluster, and what the vault opens them with.

Who may connect to an account is who may use its secret; so whoever has no right on it learns neither of the account nor
of its target.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rppam.access.sessions.model import Identity
from rppam.gateway.errors import AccountUnclear, CredentialMissing, JumpUnusable, RouteUnknown
from rppam.gateway.model import ALL_KINDS, FILE_KINDS, Kind, PinnedKey
from rppam.gateway.ports import Credential, Route
from rppam.kernel.secret import Secret
from rppam.targets.errors import ResourceUnknown, TargetAccountUnknown
from rppam.targets.model import ReadKey, Resource, ResourceKind, Search, TargetAccount
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.vault.errors import EntryUnknown, RightLacking
from rppam.vault.model import FOR_FILES, FOR_SHELLS, SIGN_IN, EntryType, Search as Wanted, Seen
from rppam.vault.own_use import used_by_node
from rppam.vault.service import Shown, Vault
from rppam.vault.signing_in import left_ms

_KINDS: Final = frozenset({ResourceKind.SSH, ResourceKind.NETWORK})
_TYPES: Final = frozenset({EntryType.PASSWORD, EntryType.SSH_KEY})
PAGE: Final = 1_000
_NONE: Final = "there is no such target, or you have no access to it"


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


class VaultRoutes:
    """Implements :class:`~rppam.gateway.ports.Routes`."""

    def __init__(self, resources: SqlResources, accounts: SqlTargetAccounts, vault: Vault) -> None:
        self._resources, self._accounts, self._vault = resources, accounts, vault

    async def all(self, identity: Identity) -> list[Route]:
        """Everything that ``identity`` may connect to, by target and account; the first :data:`PAGE` entries."""
        entries, _ = await self._vault.page(identity, Wanted(page_size=PAGE))
        usable = _usable(entries)
        known: dict[str, Resource] = {}
        routes = []
        for ident in dict.fromkeys(one.entry.account_id for one in usable if one.entry.account_id):
            kinds = _kinds([one for one in usable if one.entry.account_id == ident])
            try:
                account = await self._accounts.get(ident)
                if account.resource_id not in known:
                    known[account.resource_id] = await self._resources.get(account.resource_id)
            except (ResourceUnknown, TargetAccountUnknown):
                continue  # it was deleted just now, with its entries
            if known[account.resource_id].kind in _KINDS:
                routes.append(_route(known[account.resource_id], account, kinds))
        return sorted(routes, key=lambda one: (one.target.lower(), one.account))

    async def find(self, identity: Identity, target: str, account: str) -> Route:
        """One of them, by the target's name or address. Raises :class:`RouteUnknown`, :class:`AccountUnclear`."""
        resource = await self._resource(target)
        found = await self._accounts.page(Search(page_size=PAGE, resource_id=resource.id))
        wanted = [one for one in found.items if not account or one.name == account]
        usable = []
        for one in wanted:
            entries, _ = await self._vault.page(identity, Wanted(page_size=PAGE, account_id=one.id))
            if found_usable := _usable(entries):
                usable.append((one, _kinds(found_usable)))
        if not usable:
            raise RouteUnknown(_NONE)
        if len(usable) > 1:
            names = ", ".join(one.name for one, _ in usable)
            raise AccountUnclear(f"{resource.name} has several accounts that you may use: {names}")
        return _route(resource, *usable[0])

    async def left_s(self, identity: Identity, route: Route) -> float | None:
        """How long until ``identity`` may do less there than now; ``None``: nothing ends that by itself."""
        left = await left_ms(self._vault, identity, route.account_id, _TYPES)
        return None if left is None else left / 1000

    async def open(self, identity: Identity, route: Route, session: str) -> Credential:
        """The key and the password of the account, of those entries that may be used; recorded by the vault.

        Raises :class:`CredentialMissing`, :class:`RouteUnknown`, and what the vault raises.
        """
        try:
            found = await self._vault.candidates(identity, route.account_id, f"SSH session {session}", _TYPES)
        except (EntryUnknown, RightLacking):
            raise RouteUnknown(_NONE) from None
        return _shown_credential(route, found)

    async def open_before(self, identity: Identity | None, route: Route, session: str) -> Credential | None:
        """See :class:`~rppam.gateway.ports.Routes`. Raises what the vault raises."""
        purpose = f"SSH session {session}: the target refused the present secret"
        try:
            if identity is None:
                found = await used_by_node(self._vault, route.account_id, purpose, before=True)
                return _credential(route, found)
            shown = await self._vault.candidates(identity, route.account_id, purpose, _TYPES, before=True)
        except (EntryUnknown, RightLacking, CredentialMissing):
            return None
        return _shown_credential(route, shown)

    async def known(self, target_id: str, account_id: str) -> Route:
        """The way to an account that is known by its ids, whatever it is called now. Raises :class:`RouteUnknown`."""
        try:
            resource, account = await self._resources.get(target_id), await self._accounts.get(account_id)
        except (ResourceUnknown, TargetAccountUnknown):
            raise RouteUnknown(_NONE) from None
        if account.resource_id != resource.id or resource.kind not in _KINDS:
            raise RouteUnknown(_NONE)
        return _route(resource, account)

    async def open_to_end(self, route: Route, session: str) -> Credential:
        """As :meth:`open`, in the node's own name: nobody's rights are asked for. Raises as :meth:`open`."""
        return await self.open_for(route, f"the end of SSH session {session}")

    async def between(self, target: str, account: str) -> Route:
        """See :class:`~rppam.gateway.ports.Routes`. Raises :class:`JumpUnusable`."""
        try:
            resource = await self._resource(target)
        except RouteUnknown:
            raise JumpUnusable(f"there is no target {target} to go through") from None
        found = await self._accounts.page(Search(page_size=PAGE, resource_id=resource.id))
        wanted = [one for one in found.items if not account or one.name == account]
        if len(wanted) != 1:
            which = "which of its accounts to take is not said" if wanted else f"it has no account {account}".rstrip()
            raise JumpUnusable(f"{resource.name} cannot be gone through: {which}")
        return _route(resource, wanted[0])

    async def open_between(self, route: Route, session: str) -> Credential:
        """As :meth:`open_to_end`, to go through there."""
        return await self.open_for(route, f"the way of SSH session {session}")

    async def open_for(self, route: Route, purpose: str) -> Credential:
        """What the vault has of an account, for what the node does by itself. Raises :class:`CredentialMissing`."""
        try:
            found = await used_by_node(self._vault, route.account_id, purpose)
        except EntryUnknown:
            raise CredentialMissing(f"the vault has nothing of {route.account} at {route.target}") from None
        return _credential(route, found)

    async def _resource(self, target: str) -> Resource:
        try:
            found = await self._resources.named(target.removeprefix("[").removesuffix("]"))
        except ResourceUnknown:
            raise RouteUnknown(_NONE) from None
        if found.kind not in _KINDS:
            raise RouteUnknown(_NONE)
        return found


def _usable(found: Iterable[Seen]) -> list[Seen]:
    """Those that may open a session for who sees them."""
    return [one for one in found if one.entry.type in _TYPES and one.entry.version and one.rights & SIGN_IN]


def _kinds(usable: Iterable[Seen]) -> frozenset[Kind]:
    """What may be opened with these."""
    rights = frozenset[str]().union(*(one.rights for one in usable))
    shells = ALL_KINDS - FILE_KINDS if rights & FOR_SHELLS else frozenset[Kind]()
    return shells | (FILE_KINDS if rights & FOR_FILES else frozenset[Kind]())


def _credential(route: Route, found: Iterable[Mapping[str, Secret]]) -> Credential:
    fields: dict[str, Secret] = {}
    for one in found:
        for name, value in one.items():
            fields.setdefault(name, value)
    key, password = fields.get("privateKey"), fields.get("password")
    if key is None and password is None:
        raise CredentialMissing(f"the vault has neither password nor key of {route.account} at {route.target}")
    return Credential(password, key, fields.get("passphrase"))


def _shown_credential(route: Route, found: Sequence[Shown]) -> Credential:
    """With the requests by whose grants the vault gave it."""
    requests = tuple(dict.fromkeys(one.request for one in found if one.request))
    return _credential(route, [one.fields for one in found])._replace(requests=requests)


def _route(resource: Resource, account: TargetAccount, kinds: frozenset[Kind] = ALL_KINDS) -> Route:
    return Route(
        resource.id,
        resource.name,
        resource.address,
        resource.port,
        account.id,
        account.name,
        account.name,
        resource.host_key_policy.value,
        resource.tags,
        resource.kind is ResourceKind.SSH,
        resource.legacy_algorithms,
        kinds,
    )
