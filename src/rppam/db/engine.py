"""How a connection to either database is opened, so that no call on it can last for ever.

PostgreSQL: every statement, lock wait and idle transaction has a limit *on the server*, so that a node that is paused
in the middle of a transaction cannot hold the fence against the others; the TCP connection has one in the kernel. These
limits are the session's, and so are the statements that the driver prepares: a pooler in between must pool sessions.
SQLite: WAL, synchronous=FULL (an epoch that was accepted survives a power cut), foreign keys, a bounded busy wait; and
each connection knows which file it has, as one whose file was moved away or replaced goes on with what nobody else has.
"""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import (
    BigInteger,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Table,
    create_engine,
    event,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, PoolProxiedConnection
from sqlalchemy.sql.functions import FunctionElement

from rppam.db.errors import DatabaseUnreachable
from rppam.db.url import SQLITE

WRITES: Final = "rppam_writes"
"""In the info of a connection: whether its next transaction writes."""
FILE: Final = "rppam_file"
"""In the info of a connection: the file of SQLite that stood at the path as it was opened, as :func:`file_at` tells."""
NODE_OPTION: Final = "rppam_node"
"""Execution option of every connection: the name of the node that it belongs to."""
CONNECT_S_MIN: Final = 2
"""libpq's shortest connect timeout."""


class NowMs(FunctionElement[int]):
    """The database's own wall clock in milliseconds since 1970: one clock for all nodes.

    A function, as of other elements nobody knows whether two are the same: each statement with one would be compiled
    anew whenever it is run.
    """

    name = "now_ms"
    inherit_cache = True
    type = BigInteger()


@compiles(NowMs, "postgresql")
def _now_postgresql(_element: NowMs, _compiler: object, **_options: object) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


@compiles(NowMs, "sqlite")
def _now_sqlite(_element: NowMs, _compiler: object, **_options: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


def now_ms(connection: Connection) -> int:
    """What time it is by the database's clock, in milliseconds since 1970."""
    now: int = connection.execute(select(NowMs())).scalar_one()
    return now


def insert_into(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can have an ON CONFLICT."""
    return insert_of(connection.dialect.name, table)


def insert_of(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """As :func:`insert_into`, for a statement that is made once for each dialect."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def open_engine(url: URL, timeout_ms: int, opened: Callable[[DBAPIConnection], None], node: str = "") -> Engine:
    """An engine without a pool of its own: each thread of a lane holds one connection.

    ``opened`` is called with each raw connection before anything is said on it; ``node`` is whose they are.
    """
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,  # parameters may be password hashes
        connect_args=_connect_args(url, timeout_ms),
        execution_options={NODE_OPTION: node},
        **({} if url.drivername == SQLITE else {"isolation_level": "READ COMMITTED"}),
    )

    @event.listens_for(engine, "do_connect")
    def _connect(
        dialect: Any, record: ConnectionPoolEntry, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> DBAPIConnection:
        if url.drivername == SQLITE:
            record.info[FILE] = file_at(url)  # before it is opened: one that comes in between is then found to differ
            if record.info[FILE] is None:
                raise DatabaseUnreachable(f"the file {url.database} is not there any more")
            # A file that was moved away is lost: an empty one in its place would take what is written from now on.
            args, kwargs = (f"file:{quote(args[0])}?mode=rw",), kwargs | {"uri": True}
        connection: DBAPIConnection = dialect.connect(*args, **kwargs)
        opened(connection)
        return connection

    if url.drivername == SQLITE:
        _prepare_sqlite(engine, timeout_ms)
    else:
        _prepare_postgresql(engine, timeout_ms)
    return engine


def rows_changed(
    connection: Connection,
    statement: Executable,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> int:
    """Run ``statement``, once for each of several ``values``, and count the rows it changed. For an INSERT SQLAlchemy
    tells the count only when asked to."""
    result = connection.execute(statement, values, execution_options={"preserve_rowcount": True})
    assert isinstance(result, CursorResult)
    return result.rowcount


def create_file(url: URL) -> None:
    """Make a new SQLite file readable by its owner only (it will hold password hashes). Raises :class:`OSError`."""
    if url.drivername == SQLITE and url.database:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(Path(url.database), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def file_at(url: URL) -> tuple[int, int] | None:
    """Which file stands where ``url`` says: its device and number; ``None`` where there is none."""
    try:
        found = os.stat(url.database or "")  # noqa: PTH116 - before each transaction, and a Path costs more than this
    except OSError:
        return None
    return found.st_dev, found.st_ino


def break_off(connection: DBAPIConnection) -> None:
    """Make a call that is stuck on ``connection`` in another thread return with an error."""
    with contextlib.suppress(Exception):  # it may be closed by now: then there is nothing to break off
        if hasattr(connection, "interrupt"):
            connection.interrupt()
            return
        # Not `connection.close()`, which the stuck thread is using; on a duplicate, whose number nobody else can reuse.
        duplicate = os.dup(connection.fileno())
        with socket.socket(fileno=duplicate) as line:
            line.shutdown(socket.SHUT_RDWR)


def _connect_args(url: URL, timeout_ms: int) -> dict[str, Any]:
    if url.drivername == SQLITE:
        return {"timeout": timeout_ms / 1000, "isolation_level": None}
    seconds = max(CONNECT_S_MIN, -(-timeout_ms // 1000))
    args: dict[str, Any] = {
        "connect_timeout": seconds,
        "tcp_user_timeout": timeout_ms,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "application_name": "rppam",
    }
    return {name: value for name, value in args.items() if name not in url.query}


def _prepare_sqlite(engine: Engine, timeout_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {timeout_ms:d}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.close()

    def _begin(dbapi_connection: PoolProxiedConnection) -> None:
        # A transaction that will write takes the write lock first: upgrading later fails at once instead of waiting.
        dbapi_connection.cursor().execute("BEGIN IMMEDIATE" if dbapi_connection.info.get(WRITES) else "BEGIN")

    def _say(word: str, connection: Connection, name: str) -> None:
        connection.exec_driver_sql(f"{word} {name}")

    # Here, and not as a statement at the event "begin": that costs several times as much. Errors are translated alike.
    dialect = engine.dialect
    dialect.do_begin = _begin  # type: ignore[method-assign]
    # What SQLAlchemy says by itself is compiled anew for each name, which costs as much as a small transaction.
    dialect.do_savepoint = partial(_say, "SAVEPOINT")  # type: ignore[method-assign]
    dialect.do_release_savepoint = partial(_say, "RELEASE SAVEPOINT")  # type: ignore[method-assign]
    dialect.do_rollback_to_savepoint = partial(_say, "ROLLBACK TO SAVEPOINT")  # type: ignore[method-assign]


def _prepare_postgresql(engine: Engine, timeout_ms: int) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        connection.execute(
            "SELECT set_config('statement_timeout', %(limit)s, false), set_config('lock_timeout', %(limit)s, false),"
            " set_config('idle_in_transaction_session_timeout', %(idle)s, false),"
            # An accepted epoch must survive a crash of the server, whatever its default is.
            " set_config('synchronous_commit',"
            " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
            " ELSE current_setting('synchronous_commit') END, false)",
            {"limit": str(timeout_ms), "idle": str(2 * timeout_ms)},
        )
        connection.commit()
