"""An empty database of each kind, for programs that measure both."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.postgres import binaries, running


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """Their URLs: SQLite in a file in ``folder``, and a real PostgreSQL on loopback."""
    programs = binaries()
    if programs is None:
        raise SystemExit("no PostgreSQL on this machine: make servers")
    with running(programs) as server:
        url = f"{server.create('benchmark')}?sslmode=disable"
        yield {"SQLite": f"sqlite:///{folder / 'benchmark.db'}", "PostgreSQL": url}
