"""The real application on a real port: real keys, real HTTP, and a node whose state the test sets."""

import asyncio
import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
from msgspec.structs import replace
from sqlalchemy import Connection

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.passwords import HashParameters, Passwords
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.rbac.auth_middleware import ConcurrencyMiddleware
from rppam.access.sessions.service import Caller, Login, Sessions
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, Tokens
from rppam.app.api import ApiParts, build_app
from rppam.app.offers import offered
from rppam.cache.no_cache import NoCache
from rppam.cache.ports import SharedCache
from rppam.cluster.admin.forwarding import LinkRelay
from rppam.cluster.admin.ports import Administration, Relay
from rppam.cluster.consensus.heartbeat import MemberStatus, Role
from rppam.cluster.health.model import ClusterSnapshot, MemberView, SafetyLevel
from rppam.cluster.health.ports import Authority, NodeStatus
from rppam.cluster.history.recorder import FILE_NAME
from rppam.config.settings import Settings
from rppam.db.clock import DatabaseClock
from rppam.db.database import Database
from rppam.foundation import Foundation
from rppam.http.bounds import ApiLimits
from rppam.http.request_slots import RequestSlots
from rppam.http.server import ApiServer
from rppam.http.times import iso_utc
from rppam.kernel.fence import Fenced, admits, unheard
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.licence.model import Allowed, Denied, Licence, Seats, may_join
from rppam.limits.limiter import Limiter, MemoryLimits
from rppam.manager.note_model import FencedNote, Note, check_note
from rppam.settings.hot import LiveSettings
from rppam.settings.store import SqlSettingsStore
from tests.support.parsing import parse
from tests.support.tables import new_sqlite

ISSUER, AUDIENCE = "rppam", "rppam-api"
NOON = WallMs(int(datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp() * 1000))
PASSWORD = "correct horse battery"
CHEAP = HashParameters(memory_kib=64, passes=1)


BOOT_ID = "0123456789abcdef"


def member(node: str, role: Role, status: MemberStatus = MemberStatus.HEALTHY, **changes: Any) -> MemberView:
    url, heard = f"http://{node}:7101", iso_utc(WallMs(NOON - 300))
    seen = MemberView(node, f"{node}.corp.local", role, status, heard, 300, True, 7, "1.0.0", url, 1)
    return replace(seen, **changes)


class ScriptedNode:
    """A node that stands still: it shows and permits what the test has set."""

    def __init__(self) -> None:
        self.seen = ClusterSnapshot(
            cluster_id="cluster-001",
            node="node1",
            role=Role.LEADER,
            leader="node1",
            epoch=7,
            members=(member("node1", Role.LEADER), member("node2", Role.STANDBY), member("node3", Role.STANDBY)),
            redis_enabled=True,
            redis_connected=True,
            redis_reason="",
            quorum_met=True,
            quorum_reason="",
            safety_level=SafetyLevel.SINGLE,
            ready=True,
            time=iso_utc(NOON),
        )
        self.permission: int | None = 7
        self.alive = True

    def set(self, **changes: Any) -> None:
        self.seen = replace(self.seen, **changes)

    def snapshot(self) -> ClusterSnapshot:
        return self.seen

    def may_lead(self) -> int | None:
        return self.permission

    def authority(self) -> Authority | None:
        epoch = self.may_lead()
        return None if epoch is None else Authority(epoch, BOOT_ID)

    def is_alive(self) -> bool:
        return self.alive


class MemoryNote:
    """The guarded place in memory, with the same fence as every other one."""

    def __init__(self) -> None:
        self.fence = (0, "")
        self.note: Note | None = None
        self.silent = asyncio.Event()
        self.silent.set()
        self.outcome: Fenced | None = None
        self.failure: Exception | None = None

    async def write(self, epoch: int, node: str, boot_id: str, text: str, author: str) -> Fenced:
        check_note(text)
        if self.failure is not None:
            raise self.failure
        if self.outcome is not None:
            return self.outcome
        if not admits(*self.fence, epoch, boot_id):
            return Fenced.REFUSED
        self.fence = (epoch, boot_id)
        self.note = Note(text, author, epoch, node, NOON)
        return Fenced.ACCEPTED

    async def read(self) -> Note | None:
        await self.silent.wait()
        if self.failure is not None:
            raise self.failure
        return self.note


class Obedient:
    """An administration that takes every order, unless the test gives it an error to raise."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.came = asyncio.Event()
        self.failure: Exception | None = None
        self.lends = f"7 {'a' * 16}"

    def _note(self, *asked: Any) -> str:
        self.asked.append(asked)
        self.came.set()
        if self.failure is not None:
            raise self.failure
        return f"{asked[0]} is begun"

    async def switch_over(self, to: str | None, by: str) -> str:
        return self._note("switch_over", to, by)

    async def set_maintenance(self, on: bool, by: str) -> str:
        return self._note("set_maintenance", on, by)

    async def pause(self, on: bool, by: str) -> str:
        return self._note("pause", on, by)

    async def forget(self, member: str, *, is_off: bool, by: str) -> str:
        return self._note("forget", member, is_off, by)

    async def fail(self, fault: str, seconds: int, by: str) -> str:
        return self._note("fail", fault, seconds, by)

    async def fencing_token(self, purpose: str, by: str) -> str:
        self._note("fencing_token", purpose, by)
        return self.lends

    async def try_settings(self, values: Mapping[str, Any], by: str) -> str:
        return self._note("try_settings", dict(values), by)

    async def force_forget(self, members: Sequence[str], by: str, back: Sequence[str] = ()) -> str:
        return self._note("force_forget", list(members), by, *([list(back)] if back else []))


ROLES = {
    "admin": AccountRole.ADMIN,
    "ursula": AccountRole.USER,
    "audrey": AccountRole.AUDITOR,
    "simon": AccountRole.SECURITY_ADMIN,
}


class SomeAccounts:
    """An account of each role, made when it first signs in; a log-in's password is checked without Argon2id."""

    def __init__(self, accounts: SqlAccounts, passwords: Passwords) -> None:
        self._accounts, self._passwords = accounts, passwords
        self.failure: Exception | None = None
        self.clients: list[str] = []

    def looking_for(self, username: str) -> Callable[[Connection], Any]:
        return lambda _connection: username

    async def check(self, stored: Any, password: Secret, client: str) -> Account:
        """``stored`` is the name: the account may still have to be made."""
        return await self.login(stored, password, client)

    async def check_address(self, account: Account, client: str) -> None:
        if account.disabled or not account.may_log_in_from(client):
            raise InvalidCredentials

    async def login(self, username: str, password: Secret, client: str) -> Account:
        self.clients.append(client)
        if self.failure is not None:
            raise self.failure
        if username not in ROLES or password != Secret(PASSWORD):
            raise InvalidCredentials
        if await self._accounts.find(username) is None:
            roles = frozenset({ROLES[username]})
            new = Account(f"id-{username}", username, username, roles, False, NOON, NOON)
            await self._accounts.create(StoredAccount(new, await self._passwords.hash(password)))
        found = await self._accounts.find(username)
        assert found is not None
        await self.check_address(found.account, client)
        return found.account


def configured(directory: Path, node: str, more: Mapping[str, Any] | None = None) -> Settings:
    """The config of a node without Redis that has its files in ``directory``; ``more``: further sections."""
    tree = {
        **(more or {}),
        "node": {"nodeName": node, "dataDir": str(directory)},
        "auth": {"jwtKeysDir": str(directory), "clusterKeyPath": str(directory / "cluster.key")},
    }
    return parse(tree, directory)


class Served:
    """The application under its server, and a client for it. Two in one place are two nodes on one database."""

    def __init__(
        self,
        directory: Path,
        limits: ApiLimits,
        *,
        access_log: bool = False,
        cache: SharedCache | None = None,
        node: str = "node1",
        relay: Relay | None = None,
        more: Mapping[str, Any] | None = None,
        database_url: str = "",
    ) -> None:
        """``more``: further sections of the config; ``database_url``: of another database than a file of SQLite."""
        self.clock, self.entropy = SystemClock(), SystemEntropy()
        keys = KeySet(ensure_signing_keys(directory, now_ms=self.clock.wall_ms()))
        self.place, self.password, self.somewhere = directory.parent, Secret(PASSWORD), Caller("127.0.0.1", "test")
        file = self.place / "rppam.db"
        if not file.exists() and not database_url:
            new_sqlite(file)
        self.database = Database(database_url or f"sqlite:///{file}", 20_000)  # patient: the machine may be busy
        session_clock = DatabaseClock(self.clock)
        self.tokens = Tokens(
            keys,
            issuer=ISSUER,
            audience=AUDIENCE,
            node="node1",
            clock=self.clock,
            entropy=self.entropy,
            session_clock=session_clock,
        )
        self.cache = cache or NoCache()
        self.live = LiveSettings(SqlSettingsStore(self.database), self.cache)
        guard = Guard(
            None, SqlTries(self.database), SqlLockouts(self.database), self.live, self.cache, self.clock, self.entropy
        )  # fmt: skip
        self.licence: Licence | None = None
        self.passwords = Passwords(CHEAP)
        self.node, self.note = ScriptedNode(), MemoryNote()
        self.login = SomeAccounts(SqlAccounts(self.database), self.passwords)
        self.orders, self.history = Obedient(), directory / FILE_NAME
        given: list[tuple[type, Any]] = [
            (Tokens, self.tokens), (Passwords, self.passwords), (Login, self.login), (Guard, guard),
            (Administration, self.orders), (Relay, relay or LinkRelay(node, None)), (NodeStatus, self.node),
            (Seats, self),
        ]  # fmt: skip
        base = Foundation(
            configured(directory, node, more),
            self.database,
            self.cache,
            self.live,
            self.clock,
            session_clock,
            self.entropy,
            unheard,
        )
        self.base = base
        services = self.services = offered(base, given, {FencedNote: self.note})
        self.store = services.get(SqlSessions)
        self.settings = services.get(SqlSettingsStore)
        self.sessions, self.users = services.get(Sessions), services.get(SqlAccounts)
        self.app = build_app(
            ApiParts(
                services=services,
                limiter=Limiter(None, MemoryLimits(self.clock), self.clock, lambda: 1),
                limits=limits,
                access_log=access_log,
            )
        )
        self.server = ApiServer(self.app, "127.0.0.1", 0, limits)
        self.http: httpx.AsyncClient

    def ask(self, others: int) -> Allowed | Denied:
        """As the licence of this node."""
        return may_join(self.licence, others, self.clock.wall_ms())

    async def start(self) -> None:
        await self.database.start()
        await self.server.start()
        self.http = httpx.AsyncClient(base_url=self.url, timeout=10, trust_env=False)

    async def stop(self) -> None:
        await self.http.aclose()
        await self.server.stop(drain_ms=500)
        await self.database.stop()
        self.passwords.close()

    @property
    def room(self) -> RequestSlots:
        """The places of its requests."""
        layer = next(layer for layer in self.app.user_middleware if cast("object", layer.cls) is ConcurrencyMiddleware)
        found = layer.kwargs["room"]
        assert isinstance(found, RequestSlots)
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def bearer(self, *roles: str, subject: str = "admin") -> dict[str, str]:
        token = self.tokens.issue(subject, roles or ("pam_admin",), 5).token.reveal()
        return {"Authorization": f"Bearer {token}"}

    async def raw(self, *chunks: bytes, pause_s: float = 0.0) -> bytes:
        """What the server says to these bytes, until it closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            for chunk in chunks:
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(pause_s)
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()
