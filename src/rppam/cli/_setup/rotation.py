"""A new Redis password without an outage: both are good for a while, and the old one goes when nobody needs it.

Redis keeps several passwords for one user (ACL SETUSER). ``begin`` adds one on the primary and on every replica, since
users are not replicated. Then the nodes' files are changed, which they notice by themselves. ``finish`` takes away
every other password, once each node has said that Redis accepted one from a file that was written later. Connections
that stand are not touched.

What it does not promise: that redis.conf or the ACL file of a server has the new password where the server may not
write it itself; then it says what to write.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from rppam.adapters.redis.connection import Connection
from rppam.adapters.redis.identity import parse_info
from rppam.adapters.system.clock import SystemClock
from rppam.adapters.system.rest_client import NoAnswerError, get_json
from rppam.cli._doctor.report import Report
from rppam.cli._doctor.store import StoreCheck
from rppam.cli._target import Target
from rppam.config.settings import Settings
from rppam.domain.errors.store import StoreError
from rppam.domain.secret import Secret

ANSWER_S: Final = 10.0
ASK_MS: Final = 5_000
HEALTH: Final = "/system/health/cluster"


class RotationError(Exception):
    """It cannot go on; ``str()`` is why and what to do."""


class Admin(NamedTuple):
    """Who may change users on Redis."""

    user: str | None
    password: Secret


def user_of(settings: Settings) -> str:
    """The Redis user of the nodes."""
    said = settings.redis.connection
    return (said.user if said else None) or "default"


async def add(settings: Settings, admin: Admin, password: Secret) -> list[str]:
    """Let the nodes' user in by ``password``, too, on every server; what was done and is left to do."""
    return await _on_every_server(settings, admin, ("ACL", "SETUSER", user_of(settings), f">{password.reveal()}"))


async def keep_only(settings: Settings, admin: Admin, password: Secret) -> list[str]:
    """Let the nodes' user in by nothing but ``password``. What was done and is left to do."""
    kept = hashlib.sha256(password.reveal().encode()).hexdigest()
    user = user_of(settings)
    told: list[str] = []
    async with _servers(settings, admin) as servers:
        for server in servers:
            hashes = await _hashes(server, user)
            if kept not in hashes:
                raise RotationError(
                    f"{server.target.address} does not know the new password of the user '{user}', so nothing was "
                    "taken away: run begin again with the same file"
                )
        for server in servers:
            old = [f"!{one}" for one in await _hashes(server, user) if one != kept]
            if old:
                await server.command("ACL", "SETUSER", user, *old, timeout_ms=ASK_MS)
            told.append(f"{server.target.address}: {len(old)} old password{'s' if len(old) != 1 else ''} taken away")
            told.append(await _persist(server, user))
    return told


async def laggards(target: Target, since_ms: int) -> list[str]:
    """Which nodes do not use a password that Redis accepted since then, each with why. Raises RotationError."""
    base = target.url.rstrip("/")
    try:
        first = await get_json(base + HEALTH, token=target.token(), timeout_s=ANSWER_S, trust=target.trust)
    except NoAnswerError as error:
        raise RotationError(f"{base}: {error}. Start the node, or name another one with --url") from error
    body: dict[str, Any] = first.body if isinstance(first.body, dict) and first.status == 200 else {}
    nodes = body.get("nodes")
    if not isinstance(nodes, list) or not nodes:
        raise RotationError(f"{base}: answered with HTTP status {first.status}, which is no view of a cluster")
    late: list[str] = []
    for node in nodes:
        name, url = str(node.get("nodeName")), str(node.get("url") or "").rstrip("/")
        if not url:
            continue  # a witness has no Redis password
        try:
            answer = await get_json(url + HEALTH, token=target.token(), timeout_s=ANSWER_S, trust=target.trust)
        except NoAnswerError as error:
            late.append(f"{name}: {url}: {error}")
            continue
        since = answer.body.get("redisPasswordSince") if isinstance(answer.body, dict) else None
        if not isinstance(since, str):
            late.append(f'{name}: its redis.password is no file; write {{"file": PATH}} there and restart it')
        elif datetime.fromisoformat(since).timestamp() < since_ms // 1000:  # health tells seconds
            late.append(f"{name}: uses the password of a file written {since}, before the new one was made")
    return late


async def _on_every_server(settings: Settings, admin: Admin, words: tuple[str, ...]) -> list[str]:
    told: list[str] = []
    async with _servers(settings, admin) as servers:
        for server in servers:
            await server.command(*words, timeout_ms=ASK_MS)
            told.append(f"{server.target.address}: the user '{words[2]}' has the new password, and the old one still")
            told.append(await _persist(server, words[2]))
    return told


@asynccontextmanager
async def _servers(settings: Settings, admin: Admin) -> AsyncIterator[list[Connection]]:
    """The primary and its replicas, entered as the administrator. Raises RotationError."""
    said = settings.redis.connection
    assert said is not None
    entering = replace(said, user=admin.user, password=admin.password,
                       sentinel_user=said.sentinel_user or said.user,
                       sentinel_password=said.sentinel_password or said.password)  # fmt: skip
    report = Report()
    report.hide(said.password, said.sentinel_password, admin.password, settings.redis.tls_cert_password)
    check = StoreCheck(replace(settings, redis=replace(settings.redis, connection=entering)), report, SystemClock())
    await check.reach()
    if check.connection is None:
        raise RotationError("; ".join(f"{one.code}: {one.what} {one.evidence}" for one in report.findings))
    opened = [check.connection]
    try:
        for host, port in await _replicas(check.connection):
            target = replace(check.connection.target, host=host, port=port, require_primary=False)
            opened.append(await Connection.open(target, clock=SystemClock()))
        yield opened
    except StoreError as error:
        raise RotationError(report.clean(str(error))) from None
    finally:
        for one in opened:
            await one.close()


async def _replicas(primary: Connection) -> list[tuple[str, int]]:
    text = await primary.command("INFO", "replication", timeout_ms=ASK_MS)
    found: list[tuple[str, int]] = []
    for name, value in parse_info(text).items():
        if name.startswith("slave") and "ip=" in value:
            parts = dict(part.partition("=")[::2] for part in value.split(","))
            found.append((parts["ip"], int(parts["port"])))
    return found


async def _hashes(server: Connection, user: str) -> list[str]:
    account = await server.command("ACL", "GETUSER", user, timeout_ms=ASK_MS)
    if isinstance(account, list):
        account = dict(zip(account[::2], account[1::2], strict=False))
    if not isinstance(account, dict):
        raise RotationError(f"{server.target.address} has no user '{user}'")
    return [one.decode() for one in account.get(b"passwords", [])]


async def _persist(server: Connection, user: str) -> str:
    """Have the server write its users down, by either of the two ways that there are."""
    where = server.target.address
    try:
        await server.command("ACL", "SAVE", timeout_ms=ASK_MS)
    except StoreError:
        try:
            await server.command("CONFIG", "REWRITE", timeout_ms=ASK_MS)
        except StoreError:
            return (
                f"{where}: TO DO: it cannot write its users down itself; put the new password of '{user}' into its "
                "redis.conf or ACL file, or a restart forgets it"
            )
        return f"{where}: written into its redis.conf"
    return f"{where}: written into its ACL file"
