"""A password in a file: by its mark another host tells whether Redis let this one in by the same password."""

import os
from pathlib import Path

import pytest

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.redis.connection import Connection
from rppam.redis.options import Target
from rppam.redis.password_file import PasswordFile, mark_of
from tests.support.redis_servers import PASSWORD, Server

pytestmark = pytest.mark.integration

OLD, NEW = Secret(PASSWORD), Secret("the-password-that-is-to-come")
KEY, OTHER_KEY = Secret("ab" * 32), Secret("cd" * 32)
USER = "rppam"


async def entered(redis: Server, password: Secret) -> Connection:
    redis.ask("ACL", "SETUSER", USER, "on", f">{OLD.reveal()}", f">{NEW.reveal()}", "~*", "&*", "+@all")
    target = Target(host=redis.host, port=redis.port, user=USER, password=password)
    return await Connection.open(target, clock=SystemClock())


async def test_the_mark_follows_the_password_and_not_the_time_of_the_file(redis: Server, tmp_path: Path) -> None:
    file = tmp_path / "redis.password"
    file.write_text(OLD.reveal() + "\n")
    held = PasswordFile(file, OLD, SystemClock(), lambda: KEY)
    connection = await entered(redis, OLD)
    try:
        await held.prove(connection, 2_000)
        assert held.mark is None, "Redis has let nobody in yet"
        held.entered(connection)
        old = held.mark
        assert old == mark_of(OLD, KEY)

        os.utime(file, (2**31, 2**31))
        await held.prove(connection, 2_000)
        assert held.mark == old

        file.write_text(NEW.reveal() + "\n")
        await held.prove(connection, 2_000)
        assert held.mark == mark_of(NEW, KEY) != old

        file.write_text(OLD.reveal())
        await held.prove(connection, 2_000)
        assert held.mark == old, "it is back at the old one, whatever the time of the file"
    finally:
        await connection.close()


async def test_a_password_that_redis_refused_leaves_no_mark(redis: Server, tmp_path: Path) -> None:
    file = tmp_path / "redis.password"
    file.write_text(OLD.reveal())
    held = PasswordFile(file, OLD, SystemClock(), lambda: KEY)
    connection = await entered(redis, OLD)
    try:
        held.entered(connection)
        file.write_text("a-password-that-redis-does-not-know")
        await held.prove(connection, 2_000)
        assert held.problem
        assert held.mark == mark_of(OLD, KEY)
    finally:
        await connection.close()


async def test_the_mark_follows_the_cluster_key_and_needs_one(redis: Server, tmp_path: Path) -> None:
    file = tmp_path / "redis.password"
    file.write_text(OLD.reveal())
    keys: list[Secret | None] = [None, KEY, OTHER_KEY]
    held = PasswordFile(file, OLD, SystemClock(), lambda: keys.pop(0))
    connection = await entered(redis, OLD)
    try:
        held.entered(connection)
        await held.prove(connection, 2_000)
        assert held.mark is None
        await held.prove(connection, 2_000)
        first = held.mark
        await held.prove(connection, 2_000)
        assert held.mark not in {None, first}
    finally:
        await connection.close()
