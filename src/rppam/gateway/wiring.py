"""The parts of the gateway in one process: the register for all, and the gateway itself for its own process."""

from typing import Final

from rppam.access.accounts.store import SqlAccounts
from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.cluster.link.data_keys import data_keys_of
from rppam.foundation import ControlFoundation, Foundation
from rppam.gateway.authority import Authority
from rppam.gateway.authority_store import SqlAuthority
from rppam.gateway.browser_logins_store import SqlBrowserLogins
from rppam.gateway.held_store import SqlHeld
from rppam.gateway.ports import Ways
from rppam.gateway.revocations_store import SqlRevocations
from rppam.gateway.routes import CatalogueHosts, VaultRoutes
from rppam.gateway.service import AccessSessions
from rppam.gateway.ssh_tokens_service import SshTokens
from rppam.gateway.ssh_tokens_store import SqlSshTokens
from rppam.gateway.store import EndedUses, SqlAccess
from rppam.gateway.taping import Taping
from rppam.gateway.terminals_service import TerminalOpening
from rppam.gateway.user_keys_store import SqlUserKeys
from rppam.kernel.services import Services
from rppam.recordings.service import Recordings
from rppam.recordings.store import SqlRecordings
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.vault.ports import Uses
from rppam.vault.service import Vault

SWEEP_EVERY_S: Final = 2.0


def wire(base: Foundation, services: Services) -> None:
    """Offer the register."""
    store = services.add(SqlAccess, SqlAccess(base.database))
    services.add(Uses, EndedUses())
    services.add(SqlUserKeys, SqlUserKeys(base.database))
    keys = data_keys_of(base.config, base.database)
    revocations = services.add(SqlRevocations, SqlRevocations(base.database))
    services.add(Authority, Authority(SqlAuthority(base.database), revocations, keys, base.clock))
    services.add(AccessSessions, AccessSessions(store, base.cache))
    held = services.add(SqlHeld, SqlHeld(base.database))
    tokens = services.add(SqlSshTokens, SqlSshTokens(base.database))
    services.add(SqlBrowserLogins, SqlBrowserLogins(base.database))
    services.add(SshTokens, SshTokens(tokens, services.get(SqlAccounts), _routes(services)))
    opening = TerminalOpening(base, held, services.get(SqlAccounts), _routes(services))
    services.add(TerminalOpening, opening)


def _routes(services: Services) -> VaultRoutes:
    return VaultRoutes(services.get(SqlResources), services.get(SqlTargetAccounts), services.get(Vault))


def ways_of(services: Services) -> Ways:
    """What the gateway's own process goes by."""
    taping = Taping(services.get(Recordings), services.get(Foundation).hot)
    return Ways(_routes(services), CatalogueHosts(services.get(SqlResources)), taping)


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Close the sessions of gateways that have gone."""
    store, tapes = SqlAccess(base.database), SqlRecordings(base.database)

    async def sweep(_: int) -> None:
        await store.sweep()
        if unfinished := await tapes.unfinished():
            await tapes.sweep(await store.over(unfinished))

    return [RepeatedTask("the sweep of sessions without a gateway", SWEEP_EVERY_S, sweep)]
