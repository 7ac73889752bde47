"""The gateway in one process: its parts put together, its host keys read, and then connections taken until the end."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from typing import Final

import asyncssh

from rppam.access.accounts.store import SqlAccounts
from rppam.access.mfa.service import SecondFactors
from rppam.access.sessions.service import SignIn
from rppam.cluster.link.data_keys import data_keys_of
from rppam.db.errors import DatabaseError
from rppam.foundation import Foundation
from rppam.gateway.authority import Authority
from rppam.gateway.browser_logins_store import SqlBrowserLogins
from rppam.gateway.held_store import SqlHeld
from rppam.gateway.host_keys import OwnKey, SqlOwnKeys
from rppam.gateway.model import DUE_EVERY_S
from rppam.gateway.policy import ACCESS
from rppam.gateway.ports import Ways
from rppam.gateway.ssh import chained_login
from rppam.gateway.ssh.algorithms import quiet
from rppam.gateway.ssh.gate import Gate
from rppam.gateway.ssh.holding import Holding
from rppam.gateway.ssh.listener import Listener
from rppam.gateway.ssh.login import GatewayLogin
from rppam.gateway.ssh.reaper import Reaper
from rppam.gateway.ssh.second_person import Watch
from rppam.gateway.ssh.terminals import Terminals
from rppam.gateway.ssh_tokens_store import SqlSshTokens
from rppam.gateway.store import SqlAccess
from rppam.gateway.user_keys_store import SqlUserKeys
from rppam.kernel.proxy_protocol import Balancers
from rppam.kernel.secret import Secret
from rppam.kernel.services import Services

log: Final = logging.getLogger("rppam.gateway")

ALGORITHM: Final = "ssh-ed25519"
_KEYS_EVERY_S: Final = 1.0


class Gateway:
    """See the module."""

    def __init__(self, base: Foundation, services: Services, ways: Ways) -> None:
        """Call inside the event loop that will run it."""
        quiet()
        chained_login.install()
        self._base = base
        self._accounts = accounts = services.get(SqlAccounts)
        shown = services.get(SqlUserKeys), services.get(SqlSshTokens), services.get(SqlBrowserLogins)
        login = GatewayLogin(services.get(SignIn), services.get(SecondFactors), accounts, *shown)
        keys, store = data_keys_of(base.config, base.database), services.get(SqlAccess)
        self._keys = SqlOwnKeys(base.database, keys)
        node, boot_id = base.node, base.entropy.nonce()
        self._holding = Holding(
            SqlHeld(base.database),
            store,
            keys,
            ways.recordings,
            lambda: base.hot.current(ACCESS),
            node=node,
            boot_id=boot_id,
        )
        self.gate = Gate(
            store,
            ways.known_hosts,
            ways.routes,
            login,
            ways.recordings,
            base.hot,
            base.cache,
            self._holding,
            services.get(Authority),
            node=node,
            boot_id=boot_id,
            sources=base.config.access.source_addresses,
        )

    async def run(self, sockets: Sequence[socket.socket], relay: socket.socket | None = None) -> None:
        """Take connections on ``sockets`` and the workers' calls on ``relay``, which listen already. Never returns."""
        balancers = Balancers(self._base.config.access.trusted_proxies)
        listener = Listener(self.gate, self._base.clock, await self._host_keys(), balancers)
        log.info("the gateway takes SSH connections")
        reaper = Reaper(self.gate, self._accounts)
        work = [self.gate.run(), reaper.run(DUE_EVERY_S), listener.serve(sockets), Watch(self.gate).run()]
        if relay is not None:
            work.append(Terminals(self.gate).serve(relay))
        await asyncio.gather(*work)

    async def stop(self, why: str, drain_s: float) -> None:
        """End the sessions that are held, after ``drain_s`` seconds."""
        await self.gate.drain(why, drain_s)

    async def _host_keys(self) -> list[asyncssh.SSHKey]:
        """The cluster's, made where there is none. Waits for the database as long as it takes."""
        while True:
            with contextlib.suppress(DatabaseError):
                found = await self._keys.all()
                if found:
                    return [asyncssh.import_private_key(one.private.reveal()) for one in found]
                made = asyncssh.generate_private_key(ALGORITHM)
                private = Secret(made.export_private_key("pkcs8-pem").decode())
                public = made.export_public_key().decode().strip()
                await self._keys.add(1, OwnKey(ALGORITHM, public, private), made.get_fingerprint())
                continue
            await asyncio.sleep(_KEYS_EVERY_S)
