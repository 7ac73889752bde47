"""What a log-in may cost beside its hash: so many transactions, statements and questions to Redis, and no more.

The least of some log-ins is what counts: now and then one reads the clock of the database, writes down a word that the
ledger does not know yet, or finds that a near copy is not proven just then.
"""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import event

from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard
from rppam.access.lockouts.redis_tries import RedisTries
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.mfa.service import SecondFactors
from rppam.access.mfa.store import SqlFactors
from rppam.access.sessions.service import Caller, Sessions, SignIn
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import IssuedToken, KeySet, Tokens
from rppam.crypto.data_keys import DataKeys
from rppam.db.clock import DatabaseClock
from rppam.db.database import Database
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.limits.redis_store import RedisLimits
from rppam.settings.hot import LiveSettings
from rppam.settings.store import SqlSettingsStore
from tests.support.cached import Process, Table
from tests.support.redis_servers import Server, available
from tests.support.shelf import CHEAP

pytestmark = [pytest.mark.integration, pytest.mark.server]

LOGINS = 20
CALLER = Caller("192.0.2.1", "test")


class Node:
    """What signing in needs of one, and what it asks of others."""

    def __init__(self, place: Path, server: Server) -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        self.server, self.database = server, Database(f"sqlite:///{place}/rppam.db", 20_000)
        self.shared = Process(server.port, Table())
        self.passwords = Passwords(CHEAP)
        self.accounts = Accounts(SqlAccounts(self.database), self.passwords, clock)
        live = LiveSettings(SqlSettingsStore(self.database), self.shared.cache)
        tries = RedisTries(RedisLimits(self.shared.link, "rppam:", b"k" * 32))
        guard = Guard(
            tries, SqlTries(self.database), SqlLockouts(self.database), live, self.shared.cache, clock, entropy
        )  # fmt: skip
        factors = SecondFactors(SqlFactors(self.database), cast("DataKeys", None), live, guard, self.shared.cache)
        keys = KeySet(ensure_signing_keys(place, now_ms=WallMs(1_000)))
        tokens = Tokens(keys, issuer="rppam", audience="rppam-api", node="node1", clock=clock, entropy=entropy)
        sessions = Sessions(
            SqlSessions(self.database), self.shared.cache, tokens, DatabaseClock(clock), node="node1", settings=live
        )
        self.sign_in = SignIn(self.accounts, guard, factors, sessions)
        self.asked: Counter[str] = Counter()

    def count(self) -> None:
        """Count from now on what is asked of SQL."""
        engine = self.database._engine

        def statement(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
            self.asked[f"SQL {text.split(maxsplit=1)[0]}"] += 1

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "commit", lambda _connection: self.asked.update(["SQL COMMIT"]))

    async def cost(self, password: Secret) -> Counter[str]:
        """What one log-in asks."""
        self.asked.clear()
        before = self._scripts()
        assert isinstance(await self.sign_in.login("admin", password, CALLER), IssuedToken)
        return self.asked + Counter({"Redis script": self._scripts() - before})

    def _scripts(self) -> int:
        stats = self.server.ask("INFO", "commandstats").decode()
        lines = [line for line in stats.splitlines() if line.startswith("cmdstat_evalsha:")]
        return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    with Server(available()[0]) as server:
        node = Node(tmp_path, server)
        await node.database.start()
        await node.shared.start()
        yield node
        await node.shared.stop()
        await node.database.stop()
        node.passwords.close()


async def test_a_log_in_asks_no_more_than_it_has_to(node: Node) -> None:
    made = await node.accounts.ensure_first_admin()
    assert made is not None
    node.count()
    costs = [await node.cost(made.password) for _ in range(LOGINS)]
    least = min(costs, key=lambda cost: cost.total())
    assert least == {
        "SQL SELECT": 2,  # lockouts, and the account with its roles; that no setting was made is known near by
        "SQL INSERT": 2,  # the session, and its line in the ledger
        "SQL COMMIT": 2,  # of what is read before the hash, and of what is written after it; both begin unseen
        "Redis script": 3,  # a try is charged, and costs nothing; the session is told to all
    }
