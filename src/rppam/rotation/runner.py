"""Carries rotations out: what :mod:`rppam.rotation.machine` decides is written to SQL or asked of the target.

It runs where the leader is, because somebody has to; what keeps two apart is the lease of each rotation and its
generation, not leadership. Broken off anywhere, the next owner goes on from what is written.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret
from rppam.rotation import store
from rppam.rotation.errors import RotationLost, RotationUnderWay
from rppam.rotation.machine import (
    Begin,
    Call,
    Called,
    Commit,
    Phase,
    Run,
    Settle,
    Stage,
    Tried,
    Try,
    begun,
    called,
    next_step,
    staged,
    tried,
)
from rppam.rotation.model import FIELD
from rppam.rotation.requests import Answer, Login, Pin, Request
from rppam.rotation.store import Claimed
from rppam.rotation.through import Asks, Ways, pin
from rppam.targets.model import ResourceKind
from rppam.targets.store import SqlResources, account_in
from rppam.vault.generator import Rules as Made, generated
from rppam.vault.sealing import Keyring
from rppam.vault.store import entry_in, open_version

T = TypeVar("T")
log: Final = logging.getLogger("rppam.rotation")
AT_ONCE: Final = 4
CHECKED_OUT: Final = "it was checked out meanwhile"
UNDONE: Final = "this could not be carried out"
_PEM: Final = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----"


class Runner:
    """See the module. Raises a ``DatabaseError`` when the database does not answer."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        node: str,
        hands: Callable[[], AbstractAsyncContextManager[Asks]],
        sources: Sequence[str] = (),
    ) -> None:
        """``sources``: of this host, to go out from over SSH."""
        self._database, self._keyring, self._node, self._hands = database, keyring, node, hands
        self._sources = sources
        self._resources, self._ways = SqlResources(database), Ways(database, keyring)

    async def work(self, _epoch: int = 0) -> None:
        """Begin what is due, and carry out what is open, some at once."""
        if not await self._database.read(store.is_something_due):
            return
        await self._database.read(self._keyring.check)
        await self._database.write(store.open_due)
        # What keeps one from its work does not break off what another does to its target.
        ended = await asyncio.gather(*(self._some() for _ in range(AT_ONCE)), return_exceptions=True)
        for problem in ended:
            if problem is not None:
                raise problem

    async def _some(self) -> None:
        claimed = await self._next()
        if claimed is None:
            return
        async with self._hands() as hands:
            while claimed is not None:
                try:
                    await self._one(claimed, hands)
                except RotationLost as error:
                    log.debug("rotation %s: %s", claimed.id, error)
                claimed = await self._next()

    async def _next(self) -> Claimed | None:
        return await self._database.write(partial(store.claim, node=self._node))

    async def _one(self, claimed: Claimed, hands: Asks) -> None:
        """One run of one rotation. Raises :class:`RotationLost`."""
        run, said = claimed.run, ""
        try:
            hands = await self._ways.through(claimed, hands)
            while True:
                match next_step(run):
                    case Stage():
                        secret = generated(Made(claimed.rules.length, without=claimed.rules.without))
                        number = await self._write(store.stage, claimed._replace(run=run), self._keyring, secret)
                        run = staged(run, number)
                    case Begin():
                        await self._write(store.begin, claimed, run.staged)
                        run = begun(run)
                    case Call():
                        answer = await self._change(claimed, run, hands)
                        said = answer.said
                        run = called(run, Called(answer.came))
                    case Try(version):
                        answer = await self._try(claimed, version, hands)
                        said = answer.said if answer.came == "unknown" else said or answer.said
                        run = tried(run, version, Tried(answer.came))
                    case Commit(version):
                        await self._write(store.commit, claimed, run, version)
                        log.info("%s takes a new secret for %s", claimed.target, claimed.username)
                        return
                    case Settle() as step:
                        await self._settle(claimed, run, step, said)
                        return
        except RotationUnderWay:
            await self._settle(claimed, run, Settle(Phase.WAITING, CHECKED_OUT, drops=True), "")
        except (DatabaseError, RotationLost):
            raise
        except RppamError as error:
            # Such as a secret that does not open: it is this rotation's own, and counted, or nobody would hear of it
            # while it waits for the end of a lease. Nothing new is known of the target, so the phase is as it was.
            await self._settle(claimed, run, Settle(run.phase, UNDONE), f"{error.row.code}: {error}")

    async def _settle(self, claimed: Claimed, run: Run, step: Settle, said: str) -> None:
        await self._write(store.settle, claimed, run, step, said)
        log.warning(
            "%s at %s has not got another secret: %s%s; it is tried again",
            claimed.username,
            claimed.target,
            step.why,
            f" ({said})" if said else "",
        )

    async def _write(self, work: Callable[..., T], claimed: Claimed, *rest: object) -> T:
        return await self._database.write(lambda connection: work(connection, claimed, *rest))

    # ---- the target -------------------------------------------------------------------------------------------------

    async def _try(self, claimed: Claimed, version: int, hands: Asks) -> Answer:
        fields = await self._fields(claimed.entry.id, version)
        login = Login(claimed.username, fields.get(FIELD))
        return await self._ask(claimed, hands, login, None, fields)

    async def _change(self, claimed: Claimed, run: Run, hands: Asks) -> Answer:
        assert run.staged is not None  # it was kept before
        new = (await self._fields(claimed.entry.id, run.staged))[FIELD]
        fields = await self._fields(claimed.entry.id, run.current)
        login = Login(claimed.username, fields.get(FIELD))
        if claimed.rules.by_entry_id is not None:
            try:
                login, fields = await self._other(claimed.rules.by_entry_id)
            except RppamError as error:
                return Answer("refused", f"who changes it cannot sign in: {error}")
        return await self._ask(claimed, hands, login, new, fields)

    async def _other(self, entry_id: str) -> tuple[Login, Mapping[str, Secret]]:
        """Who changes the secrets of others."""

        def names(connection: Connection) -> tuple[str, int]:
            entry = entry_in(connection, entry_id)
            return account_in(connection, entry.account_id or "").name, entry.version

        name, version = await self._database.read(names)
        fields = await self._fields(entry_id, version)
        return Login(name, fields.get(FIELD), fields.get("privateKey"), fields.get("passphrase")), fields

    async def _fields(self, entry_id: str, version: int) -> Mapping[str, Secret]:
        return await self._database.read(
            lambda connection: open_version(connection, self._keyring, entry_in(connection, entry_id), version)
        )

    async def _ask(
        self, claimed: Claimed, hands: Asks, login: Login, new: Secret | None, fields: Mapping[str, Secret]
    ) -> Answer:
        database = fields.get("database")
        request = Request(
            kind=claimed.kind.value,
            target=claimed.target,
            host=claimed.host,
            port=claimed.port,
            trust=claimed.trust,
            pins=await self._pins(claimed),
            login=login,
            account=claimed.username,
            new=new,
            database=database.reveal() if database else "postgres",
            sources=self._sources,
        )
        answer = await hands.ask(request)
        if answer.new_key:
            await pin(self._resources, claimed.target_id, answer.new_key)
        return answer

    async def _pins(self, claimed: Claimed) -> tuple[Pin, ...]:
        found = await self._resources.host_keys(claimed.target_id)
        wanted_x509 = claimed.kind is ResourceKind.POSTGRESQL
        return tuple(
            Pin(one.type, _PEM.format(one.key) if wanted_x509 else one.line, one.fingerprint)
            for one in found
            if (one.type == "x509") is wanted_x509
        )
