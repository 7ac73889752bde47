"""How a feature is added: one folder and one line, as CONTRIBUTING says; here a small one, up to a request."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.app import slices
from rppam.app.slices import STEPS
from rppam.http.bounds import ApiLimits
from rppam.kernel.slice import load
from tests.support.served import Served

pytestmark = pytest.mark.integration

STEP = f"{int(STEPS.head) + 1:04}"
FILES = {
    "__init__.py": '''"""Greetings: a word of the day for everybody."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="greetings",
    package=__name__,
    tables="tables",
    migrations="migrations",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("api:greetings",),
    settings=("policy:GREETING",),
    commands={"greet": Command("cli", "Say the word of the day.")},
)
''',
    "policy.py": '''"""The setting of greetings."""

from typing import NamedTuple

from rppam.config.kinds import Text
from rppam.settings.model import setting


class Greeting(NamedTuple):
    """What is said."""

    word: str = "hello"


WORD = Text("1 to 40 characters", r".{1,40}")
GREETING = setting("security/greeting", "The word of the day", Greeting(), {"word": WORD})
''',
    "tables.py": '''"""The table of greetings."""

from sqlalchemy import BigInteger, Column, String, Table

from rppam.db.tables import metadata

greeted = Table(
    "greeted",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("times", BigInteger, nullable=False),
)
''',
    "migrations/__init__.py": "",
    f"migrations/v{STEP}_greetings.py": f'''"""The table of greetings."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{STEP}", "{STEPS.head}", None, None
step = "expand"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "greeted",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("times", sa.BigInteger, nullable=False),
    )
''',
    "store.py": '''"""Who was greeted how often, in SQL."""

from sqlalchemy import Connection, delete, insert, select, update

from rppam.db.database import Database
from rppam.db.engine import rows_changed

from greetings.tables import greeted


class SqlGreetings:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self, name: str) -> int:
        """One more for ``name``; how many that makes."""

        def work(connection: Connection) -> int:
            mine = greeted.c.name == name
            if not rows_changed(connection, update(greeted).where(mine).values(times=greeted.c.times + 1)):
                connection.execute(insert(greeted).values(name=name, times=1))
            return int(connection.execute(select(greeted.c.times).where(mine)).scalar_one())

        return await self._database.write(work)

    async def forget(self) -> None:
        """Nobody was greeted."""
        await self._database.write(lambda connection: connection.execute(delete(greeted)).close())
''',
    "service.py": '''"""What greets."""

from rppam.settings.hot import LiveSettings

from greetings.policy import GREETING
from greetings.store import SqlGreetings


class Greeter:
    """Greets with the word in force."""

    def __init__(self, hot: LiveSettings, store: SqlGreetings) -> None:
        self._hot, self._store = hot, store

    async def greet(self, name: str) -> str:
        """The greeting of ``name``."""
        times = await self._store.count(name)
        return f"{self._hot.current(GREETING).word}, {name}, {times}"
''',
    "wiring.py": '''"""The parts of greetings in one process."""

from rppam.cluster.driver.leader_tasks import RepeatedTask
from rppam.foundation import ControlFoundation, Foundation
from rppam.kernel.services import Services

from greetings.service import Greeter
from greetings.store import SqlGreetings


def wire(base: Foundation, services: Services) -> None:
    """Offer the greeter."""
    services.add(Greeter, Greeter(base.hot, SqlGreetings(base.database)))


def leader_tasks(base: ControlFoundation) -> list[RepeatedTask]:
    """Forget once a day who was greeted."""
    return [RepeatedTask("the end of the day", 86_400, lambda epoch: SqlGreetings(base.database).forget())]
''',
    "api.py": '''"""Greetings over REST."""

from fastapi import APIRouter

from rppam.access.rbac.policy import Caller
from rppam.http.routes import SIGNED_IN, declare
from rppam.http.services import Here

from greetings.service import Greeter

greetings = APIRouter(tags=["greetings"])


@greetings.get("/api/v1/greeting", summary="The word of the day")
@declare(SIGNED_IN)
async def greeting(caller: Caller, services: Here) -> dict[str, str]:
    """For whoever is signed in."""
    return {"text": await services.get(Greeter).greet(caller.subject)}
''',
    "cli.py": '''"""``rppam greet``."""

import click


@click.command("greet", epilog="Example: rppam greet")
def command() -> None:
    """Say the word of the day."""
    click.echo("hello")
''',
}
LINE = """
import sys
import greetings
from rppam.app import slices
slices.add(greetings.SLICE)
from rppam.app.main import main
sys.argv = ["rppam", *sys.argv[1:]]
main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the slice's folder stands."""
    place = tmp_path / "more"
    (place / "greetings" / "migrations").mkdir(parents=True)
    for name, text in FILES.items():
        (place / "greetings" / name).write_text(text)
    return place


@pytest.fixture
def added(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The one line."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(slices.SETTINGS, "_known", dict(slices.SETTINGS))
    monkeypatch.setattr(slices.SETTINGS, "_places", [])
    for name in ("_packages", "_folders"):
        monkeypatch.setattr(STEPS, name, getattr(STEPS, name))
    slices.add(load("greetings:SLICE"))
    yield
    slices.SLICES.pop()
    if "greeted" in slices.tables().tables:
        slices.tables().remove(slices.tables().tables["greeted"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "greetings"]:
        del sys.modules[name]


async def test_a_slice_brings_its_route_its_service_and_its_setting(added: None, tmp_path: Path) -> None:
    one = Served(tmp_path / "keys", ApiLimits())
    await one.start()
    try:
        assert (await one.http.get("/api/v1/greeting")).status_code == 401
        heard = await one.http.get("/api/v1/greeting", headers=one.bearer("pam_user"))
        assert heard.json() == {"text": "hello, admin, 1"}
        shown = await one.http.get("/api/v1/settings/security/greeting", headers=one.bearer())
        assert shown.status_code == 200, shown.text
        assert shown.json()["word"] == "hello"
        assert "/api/v1/greeting" in (await one.http.get("/openapi.json", headers=one.bearer())).json()["paths"]
    finally:
        await one.stop()


def test_a_slice_brings_its_command(folder: Path) -> None:
    def typed(*words: str) -> str:
        command = [sys.executable, "-c", LINE, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "Say the word of the day." in typed("--help")
    assert typed("greet") == "hello\n"


def test_a_slice_that_declares_what_another_has_is_refused(added: None) -> None:
    with pytest.raises(ValueError, match="greetings"):
        slices.add(load("greetings:SLICE"))
