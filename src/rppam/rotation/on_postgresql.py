"""Roles of PostgreSQL: ``ALTER ROLE`` with a SCRAM verifier that is made here, so that the server never sees, and never
logs, the secret itself. The log-in takes nothing but SCRAM, so no secret goes out in the clear either."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from rppam.rotation.requests import Answer, Request

CONNECT_S: Final = 8
STATEMENT_MS: Final = 8_000
_REFUSED: Final = ("password authentication failed", "role", "no pg_hba.conf entry", "not permitted to log in")


async def answer(request: Request) -> Answer:
    """Try a log-in, or change a password."""
    return await asyncio.to_thread(_answer, request)


def _answer(request: Request) -> Answer:
    if request.login.password is None:
        return Answer("refused", "the vault has no password to sign in to it with")
    if not request.pins and request.trust == "pin":
        return Answer("unknown" if request.new is None else "refused", f"no certificate of {request.target} is pinned")
    try:
        with _connected(request) as connection:
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
def _connected(request: Request) -> "Iterator[psycopg.Connection[Any]]":
    assert request.login.password is not None  # checked before
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as roots:
        trust: dict[str, Any] = {"sslmode": "prefer"}
        if request.pins:
            roots.write("\n".join(pin.public for pin in request.pins))
            roots.flush()
            trust = {"sslmode": "verify-ca", "sslrootcert": roots.name}
        connection = psycopg.connect(
            host=request.host,
            port=request.port,
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
