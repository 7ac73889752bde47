"""An SQLite file that was lost: no process and no command puts an empty one in its place."""

import asyncio
import json
from pathlib import Path

import pytest

from rppam.app.node import HAD_DATABASE, open_database
from rppam.db.database import Database
from rppam.db.errors import DatabaseUnreachable
from tests.support import prefork


async def nothing() -> None:
    pass


async def opened(database: Database, had: Path | None = None, *, finds: bool = False, within_s: float = 30) -> bool:
    """Whether it is open after some tries; to make one takes its time where other tests take the processors."""
    try:
        async with asyncio.timeout(within_s):
            await open_database(database, nothing, had, finds=finds)
    except TimeoutError:
        return False
    finally:
        await database.stop()
    return True


async def test_a_node_makes_a_database_once_and_never_again(tmp_path: Path) -> None:
    file, had = tmp_path / "rppam.db", tmp_path / HAD_DATABASE
    assert await opened(Database(f"sqlite:///{file}"), had)
    assert file.exists()
    assert had.exists()
    file.rename(tmp_path / "away.db")
    database = Database(f"sqlite:///{file}")
    assert not await opened(database, had, within_s=1.5)
    assert not file.exists()
    assert database.reason == f"the file {file} is not there"
    (tmp_path / "away.db").rename(file)
    assert await opened(Database(f"sqlite:///{file}"), had)


async def test_other_processes_of_a_node_wait_for_one(tmp_path: Path) -> None:
    file = tmp_path / "rppam.db"
    assert not await opened(Database(f"sqlite:///{file}"), finds=True, within_s=1.5)
    assert not file.exists()
    waiting = asyncio.create_task(opened(Database(f"sqlite:///{file}"), finds=True))
    await asyncio.sleep(0.1)
    assert await opened(Database(f"sqlite:///{file}"))
    assert await waiting


async def test_what_shall_not_make_one_says_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "rppam.db"
    database = Database(f"sqlite:///{file}")
    with pytest.raises(DatabaseUnreachable, match="is not there; put it back"):
        await database.start(creates=False)
    await database.stop()
    assert not file.exists()


@pytest.mark.integration
@pytest.mark.parametrize("words", [("user", "list"), ("lockout", "list"), ("audit", "verify")])
def test_a_command_that_reads_makes_none(words: tuple[str, ...], tmp_path: Path) -> None:
    config, file = tmp_path / "rppam.config", tmp_path / "rppam.db"
    known = {"node": {"dataDir": str(tmp_path)}, "database": {"url": f"sqlite:///{file}"}}
    config.write_text(json.dumps(known))
    config.chmod(0o600)
    done = prefork.run(*words, "--config", config)
    assert done.returncode != 0, done.stdout
    assert f"the file {file} is not there" in done.stderr, done.stderr
    assert not file.exists()
