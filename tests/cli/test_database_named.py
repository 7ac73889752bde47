"""A command that cannot work with the database says which one it is and what to do, however it came to it."""

import json
from pathlib import Path

import pytest

from rppam.cli.database import exit_of
from rppam.kernel.errors import Exit
from tests.support import prefork

pytestmark = pytest.mark.integration

COMMANDS = (("user", "list"), ("audit", "verify"), ("database", "contract", "--yes"))


def config_of(folder: Path, url: str) -> Path:
    file = folder / "rppam.config"
    file.write_text(json.dumps({"node": {"dataDir": str(folder)}, "database": {"url": url}}))
    return file


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_damaged_file_is_named_with_the_reason_and_the_fix(tmp_path: Path, command: tuple[str, ...]) -> None:
    database = tmp_path / "rppam.db"
    database.write_bytes(b"no database at all. " * 1_000)
    done = prefork.run(*command, "--config", str(config_of(tmp_path, f"sqlite:///{database}")))
    assert done.returncode == 2, done.stderr
    assert "the database refused: file is not a database" in done.stderr
    assert f"The database is {database} (database.url)" in done.stderr
    assert "last backup" in done.stderr


def test_a_server_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://rppam:hunter2@127.0.0.1:1/rppam"
    done = prefork.run("user", "list", "--config", str(config_of(tmp_path, url)))
    assert done.returncode == 1, done.stderr
    assert "127.0.0.1:1/rppam (database.url). Check that the database runs (SQLite: " in done.stderr
    assert "hunter2" not in done.stderr


def test_a_file_that_is_not_there_is_named_once(tmp_path: Path) -> None:
    database = tmp_path / "rppam.db"
    done = prefork.run("user", "list", "--config", str(config_of(tmp_path, f"sqlite:///{database}")))
    assert done.stderr.count(str(database)) == 1, done.stderr


def test_a_database_that_refuses_is_an_error_by_way_of_a_node_too() -> None:
    assert exit_of("RPPAM-2905", Exit.NO) == exit_of("RPPAM-2908", Exit.NO) == Exit.ERRORS
    assert exit_of("RPPAM-6020", Exit.NO) == Exit.NO
