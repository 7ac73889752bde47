"""The files of the release at commit 5cef40f, put where the present one finds them: see README.md beside this."""

import json
import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import jwt
import psycopg

from tests.support.lab import HOST, LabNode
from tests.support.ports import free_port
from tests.support.redis_servers import Server
from tests.takeover.make_files import FILES, PLACE

CLUSTER: Final = FILES / "cluster"
POSTGRESQL: Final = FILES / "postgresql"
PASSWORD: Final = "hush"
"""Of Redis, then and now: it stands in the configs, encrypted."""
TIMES: Final = {"sessions": ("created_at", "last_seen_at", "expires_at"), "lockouts": ("since", "until")}
"""What would be over by now goes on as if the update were made at once."""


def known(of: Path) -> dict[str, Any]:
    """What make_files.py did and was told."""
    found: dict[str, Any] = json.loads((of / "known.json").read_text(encoding="utf-8"))
    return found


def place(member: Path, folder: Path) -> Path:
    """A member's folder, copied into ``folder``; its config."""
    home = folder / member.name
    shutil.copytree(member, home)
    for file in home.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)  # git keeps no more than one bit of it
    (config,) = home.glob("*.config")
    config.write_text(config.read_text(encoding="utf-8").replace(PLACE, str(folder)), encoding="utf-8")
    return config


def place_node(member: Path, folder: Path, redis: Server, database: str = "") -> LabNode:
    """A node whose config names a Redis and ports of now."""
    file = place(member, folder)
    config = json.loads(file.read_text(encoding="utf-8"))
    config["redis"]["connectionString"] = f"{HOST}:{redis.port},abortConnect=false"
    config["cluster"]["memberPort"] = free_port()
    config["api"]["port"] = free_port()
    if database:
        config["database"] = {"url": database}
    return LabNode(member.name, file.parent, config)


def place_witness(folder: Path, redis: Server) -> Path:
    file = place(CLUSTER / "witness1", folder)
    config = json.loads(file.read_text(encoding="utf-8"))
    config["redis"]["connectionString"] = f"{HOST}:{redis.port},abortConnect=false"
    port = free_port()
    config["cluster"] |= {"memberAddress": f"{HOST}:{port}", "memberPort": port}
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def fill_redis(redis: Server, name: str) -> None:
    """Every key of then, with the time that it had left."""
    redis.ask("FLUSHALL")
    for key, left_ms, command, words in json.loads((CLUSTER / name).read_text(encoding="utf-8")):
        redis.ask(command, key, *(word.encode("latin-1") for word in words))
        if left_ms > 0:
            redis.ask("PEXPIRE", key, left_ms)


def moved(of: Path) -> list[str]:
    """What brings the times in a database to now."""
    passed_ms = time.time_ns() // 1_000_000 - known(of)["madeMs"]
    return [
        f"UPDATE {table} SET {', '.join(f'{column} = {column} + {passed_ms}' for column in columns)}"
        for table, columns in TIMES.items()
    ]


def fill_sqlite(path: Path) -> None:
    with closing(sqlite3.connect(path)) as link:
        link.executescript((CLUSTER / "rppam.sql").read_text(encoding="utf-8"))
        _run(link, moved(CLUSTER))
        link.commit()


def fill_postgresql(url: str) -> None:
    with psycopg.connect(url) as link:
        link.execute((POSTGRESQL / "rppam.sql").read_bytes())
        link.execute("SET search_path TO public")
        for statement in moved(POSTGRESQL):
            link.execute(statement.encode())


def _run(link: sqlite3.Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        link.execute(statement)


def token_of_then(of: Path) -> str:
    """Ben's access token, as if it had been made a moment ago: the same session, signed by the same key."""
    old = known(of)["token"]
    claims = jwt.decode(old, options={"verify_signature": False})
    now = int(time.time())
    lasts = claims["exp"] - claims["iat"]
    claims |= {name: now - 5 for name in ("iat", "nbf") if name in claims} | {"exp": now - 5 + lasts}
    (key,) = (of / "node1" / "keys" / "jwt").glob("*.pem")
    header = jwt.get_unverified_header(old)
    return jwt.encode(claims, key.read_bytes(), header["alg"], headers={"kid": header["kid"], "typ": header["typ"]})
