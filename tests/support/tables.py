"""Databases that have the tables of this release already: made once for each process, and copied.

All steps of all slices take a third of a second on SQLite and most of one on PostgreSQL, and hundreds of tests ask for
a database; few are about how its tables are made.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine

import rppam.app.slices  # noqa: F401 - declares what tables there are
from rppam.db.schema import upgrade

_folders: list[tempfile.TemporaryDirectory[str]] = []
"""Removed when this process ends."""


def make_tables(url: str) -> None:
    """Make them in an empty database; ``url`` is one of SQLAlchemy."""
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()


@cache
def _sqlite() -> Path:
    _folders.append(tempfile.TemporaryDirectory(prefix="rppam-tests-"))
    path = Path(_folders[-1].name) / "rppam.db"
    make_tables(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
    path.chmod(0o600)  # as a node makes it
    return path


def new_sqlite(path: Path) -> None:
    """A database of this release in a new file."""
    shutil.copy(_sqlite(), path)
