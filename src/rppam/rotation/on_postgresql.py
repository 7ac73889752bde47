"""Roles of PostgreSQL: ``ALTER ROLE`` with a SCRAM verifier that is made here, so that the server never sees, and never
logs, the secret itself. The log-in takes nothing but SCRAM, so no secret goes out in the clear either.

A server behind others is reached through a port of this host's loopback, forwarded over SSH while the change lasts; it
takes connections of this process's account alone. The certificate is judged as without a way.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import asyncssh
import psycopg
from psycopg import sql

from rppam.gateway.ssh.target import Through
from rppam.rotation.requests import Answer, Request
from rppam.rotation.way import NoWayError, Way, in_time

CONNECT_S: Final = 8
STATEMENT_MS: Final = 8_000
LOOPBACK: Final = "127.0.0.1"
SOCKETS: Final = Path("/proc/net/tcp")
TIME_WAIT: Final = "06"
_REFUSED: Final = ("password authentication failed", "role", "no pg_hba.conf entry", "not permitted to log in")


async def answer(request: Request) -> Answer:
    """Try a log-in, or change a password."""
    if not request.hops:
        return await asyncio.to_thread(_answer, request)
    async with Way(request) as way:
        try:
            async with in_time(request):
                through = await way.end()
                assert through is not None  # there are hops
                port = await _forwarded(request, through)
            came = await asyncio.to_thread(_answer, request, port)
        except NoWayError as error:
            came = request.unasked(str(error))
    return came._replace(hop_keys=way.keys)


async def _forwarded(request: Request, through: Through) -> int:
    """The port of the loopback that leads to the server while the way lasts. Raises :class:`NoWayError`."""
    connection = through.connection
    try:
        # Whether the server can be reached from there, since libpq would hear of a closed connection alone.
        _, tried = await connection.open_connection(request.host, request.port, encoding=None)
        tried.close()
        listener = await connection.forward_local_port(LOOPBACK, 0, request.host, request.port, accept_handler=is_own)
    except asyncssh.ChannelOpenError as error:
        why = error.reason.lower()
        raise NoWayError(f"{request.place} cannot be reached through {through.target}: {why}") from None
    except (asyncssh.Error, OSError) as error:
        raise NoWayError(f"{request.place} cannot be reached through {through.target}: {error}") from None
    return int(listener.get_port())


def is_own(_host: str, port: int, sockets: Path = SOCKETS) -> bool:
    """Whether the connection from this port of the loopback is of this process's account.

    Where the system does not tell it is taken for one.
    """
    if sys.platform == "win32" or not sockets.parent.is_dir():
        return True
    ours = f"0100007F:{port:04X}"
    rows = [line.split() for line in sockets.read_text(encoding="ascii").splitlines()[1:]]
    owners = [row[7] for row in rows if row[1] == ours and row[3] != TIME_WAIT]
    return owners == [str(os.getuid())]


def _answer(request: Request, port: int | None = None) -> Answer:
    """``port``: of the loopback, which leads to the server."""
    if request.login.password is None:
        return Answer("refused", "the vault has no password to sign in to it with")
    if not request.pins and request.trust == "pin":
        return request.unasked(f"no certificate of {request.target} is pinned")
    try:
        with _connected(request, port) as connection:
            return Answer("works") if request.new is None else _change(connection, request)
    except psycopg.OperationalError as error:
        said = str(error)
        # Where no connection stands nothing was changed; a log-in that was not judged says nothing.
        refused = request.new is not None or any(word in said for word in _REFUSED)
        return Answer("refused" if refused else "unknown", said)


def _change(connection: "psycopg.Connection[Any]", request: Request) -> Answer:
    assert request.new is not None  # a change has it
    new, account = request.new.reveal().encode(), request.account.encode()
    verifier = connection.pgconn.encrypt_password(new, account, b"scram-sha-256").decode()
    change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(request.account), sql.Literal(verifier))
    try:
        connection.execute(change)
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        return Answer("refused" if error.sqlstate else "unknown", said)
    return Answer("done")


@contextmanager
def _connected(request: Request, port: int | None) -> "Iterator[psycopg.Connection[Any]]":
    assert request.login.password is not None  # checked before
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        trust: dict[str, Any] = {"sslmode": "prefer"}
        if request.pins:
            roots.write("\n".join(pin.public for pin in request.pins))
            roots.flush()
            trust = {"sslmode": "verify-ca", "sslrootcert": roots.name}
        if port is not None:
            trust["hostaddr"] = LOOPBACK
        connection = psycopg.connect(
            host=request.host,
            port=request.port if port is None else port,
            user=request.login.username,
            password=request.login.password.reveal(),
            dbname=request.database,
            connect_timeout=CONNECT_S,
            autocommit=True,
            application_name="rppam",
            require_auth="scram-sha-256",
            options=f"-c statement_timeout={STATEMENT_MS}",
            **trust,
        )
        try:
            yield connection
        finally:
            connection.close()
