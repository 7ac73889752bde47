"""A node one release older works on the tables of the next one, until a contract step shuts it out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.sessions.model import NewSession, SessionKind, token_hash
from rppam.access.sessions.store import SqlSessions
from rppam.cluster.health.ports import Authority, Leadership
from rppam.db import database as database_module, schema
from rppam.db.database import Database
from rppam.db.errors import SchemaNewer
from rppam.db.steps import STEPS, Steps
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.settings.store import SqlSettingsStore
from tests.support.migrations import alembic_config
from tests.support.shelf import CHEAP

pytestmark = pytest.mark.integration

EXPAND_STEP, CONTRACT_STEP = (f"{int(STEPS.head) + number:04}" for number in (1, 2))
OLDEST = "0004"
"""Steps after it have only added, so releases from it on work."""
EXPAND = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{EXPAND_STEP}", "{STEPS.head}", None, None
step = "expand"


def upgrade():
    op.add_column("users", sa.Column("phone", sa.String(40)))
    op.create_table("vaults", sa.Column("id", sa.String(36), primary_key=True))
"""
CONTRACT = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{CONTRACT_STEP}", "{EXPAND_STEP}", None, None
step = "contract"
compatible_from = "{EXPAND_STEP}"


def upgrade():
    op.drop_table("cluster_note")
"""
NextRelease = Callable[[], Any]


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[NextRelease]:
    """Within it this process's code has the next release's migrations."""
    folder = tmp_path / "next_release_steps"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / f"v{EXPAND_STEP}_phones.py").write_text(EXPAND)
    (folder / f"v{CONTRACT_STEP}_contract_note.py").write_text(CONTRACT)

    @contextmanager
    def within() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path))
            steps = Steps()
            steps.declare([*STEPS._packages, "next_release_steps"])
            for module in (schema, database_module):
                patch.setattr(module, "STEPS", steps)
            yield

    return within  # type: ignore[return-value]


async def everyday_work(database: Database, who: str) -> None:
    """An account, a log-in, a session and its check, a setting."""
    passwords = Passwords(CHEAP)
    try:
        account = Account(f"id-{who}", who, who, frozenset({AccountRole.USER}), False, WallMs(1), WallMs(1))
        await SqlAccounts(database).create(StoredAccount(account, await passwords.hash(Secret("correct horse"))))
        accounts = Accounts(SqlAccounts(database), passwords, SystemClock())
        assert (await accounts.login(who, Secret("correct horse"), "10.0.0.7")).name == who
    finally:
        passwords.close()
    await SqlSessions(database).open(
        NewSession(
            f"0190-{who}",
            token_hash(who),
            f"id-{who}",
            who,
            SessionKind.LOGIN,
            1,
            False,
            60_000,
            60_000,
            "c",
            "a",
            "node1",
        )
    )
    found = await SqlSessions(database).find(token_hash(who))
    assert found is not None
    settings = SqlSettingsStore(database)
    await settings.write(Leadership("node1", Authority(7, "boot-a")), f"security/{who}", who, "sue", None)
    assert who in [stored.value for stored in await settings.read_all()]


async def test_an_older_node_works_on_the_tables_of_the_next_release_and_says_so(
    url: str, open_database: Callable[..., Any], next_release: NextRelease
) -> None:
    running = await open_database(url)
    with next_release():
        newer = await open_database(url)
        assert newer.warning == ""
    tables = await newer.read(lambda connection: inspect(connection).get_table_names())
    assert {"vaults", "cluster_note"} <= set(tables), "the contract step waits"
    assert await newer.read(schema.read_schema) == (EXPAND_STEP, OLDEST)
    await everyday_work(running, "anna")
    restarted = await open_database(url)
    assert restarted.is_ready
    assert f"revision {EXPAND_STEP}, made by a newer release" in restarted.warning
    await everyday_work(restarted, "bert")


async def test_a_contract_step_runs_by_command_alone_and_shuts_the_older_release_out(
    url: str, open_database: Callable[..., Any], next_release: NextRelease
) -> None:
    with next_release():
        newer = await open_database(url)
        tables = await newer.read(lambda connection: inspect(connection).get_table_names())
        assert "cluster_note" not in tables, "a new database has no older nodes"
    with pytest.raises(
        SchemaNewer, match=f"revision {CONTRACT_STEP}, made by a newer release; this one knows {STEPS.head}"
    ):
        await open_database(url)


async def test_after_an_update_the_command_runs_what_waited_once(
    url: str, open_database: Callable[..., Any], next_release: NextRelease
) -> None:
    await open_database(url)
    with next_release():
        newer = await open_database(url)
        assert await newer.contract() == CONTRACT_STEP
        assert await newer.contract() == CONTRACT_STEP
        assert await newer.read(schema.read_schema) == (CONTRACT_STEP, None), (
            "of its own revision nothing has to be told"
        )
    assert await newer.read(schema.read_schema) == (CONTRACT_STEP, EXPAND_STEP)
    older = Database(url, 3_000)
    with pytest.raises(SchemaNewer):
        await older.start()
    await older.stop()


async def test_a_row_of_another_revision_makes_no_tables_compatible(
    url: str, open_database: Callable[..., Any], next_release: NextRelease
) -> None:
    with next_release():
        database = await open_database(url)
    row = {"value": f"{EXPAND_STEP} {STEPS.head}", "name": schema.COMPATIBLE_FROM}
    change = text("UPDATE cluster_settings SET value = :value WHERE name = :name")
    await database.write(lambda connection: connection.execute(change, row))
    with pytest.raises(SchemaNewer):
        await open_database(url)


def test_each_step_says_what_it_does_to_the_release_before() -> None:
    steps = [revision.module for revision in ScriptDirectory.from_config(alembic_config()).walk_revisions()]
    assert {step.step for step in steps} <= {"expand", "contract"}
    for step in steps:
        assert (step.step == "contract") == hasattr(step, "compatible_from"), step.revision
    named = [step.revision for step in steps if "_contract_" in str(step.__file__)]
    assert all(step.step == "contract" for step in steps if step.revision in named)
    assert STEPS.needed == max(step.revision for step in steps if step.revision not in named)
