"""A new Redis password without an outage: both are valid for a while, and the old one goes when nobody needs it.

Redis keeps several passwords for one user (ACL SETUSER). ``begin`` adds one on the primary and on every replica, since
users are not replicated. Then the members' files are changed, which they notice by themselves. ``finish`` takes away
every other password, once each member has shown that Redis accepted the new one (:mod:`rppam.setup.redis_laggards`).
Open connections are not touched. A replica that the sentinels know and that is down stops both: it would come back
with its former users, and lock every node out once it is the primary.

What it does not promise: that redis.conf or the ACL file of a server has the new password where the server may not
write it itself; then it says what to write. Nor that a replica is found that is down, where there is no Sentinel.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, NamedTuple

from rppam.config.options import ConnectionOptions
from rppam.config.settings import Settings
from rppam.doctor.check_redis import StoreCheck
from rppam.doctor.report import Report
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError, StoreReplyError
from rppam.redis.handshake import parse_info
from rppam.redis.options import LinkOptions
from rppam.redis.sentinel_rules import fields
from rppam.setup.redis_acl import NODE_USER, WITNESS_USER, password_hash
from rppam.setup.redis_wishes import FILE

ASK_MS: Final = 5_000


class RotationError(Exception):
    """It cannot go on; ``str()`` is why and what to do."""


_OTHERS_ENTER_TOO: Final = (
    "WARNING: replicas and sentinels enter as 'default', too, unless masteruser and sentinel auth-user say otherwise. "
    "Before finish, on every Redis: CONFIG SET masterauth with the new password, and the same in its redis.conf; on "
    "every sentinel: SENTINEL SET {service} auth-pass with it. Else replication and failover end with the old one"
)


class Admin(NamedTuple):
    """Who may change users on Redis."""

    user: str | None
    password: Secret


def user_of(settings: Settings) -> str:
    """The Redis user of the nodes."""
    said = settings.redis.connection
    return (said.user if said else None) or "default"


async def hosts_of_witness_user(settings: Settings, admin: Admin) -> frozenset[str]:
    """From which addresses somebody is in Redis as the user of witnesses. Raises RotationError."""
    async with _servers(settings, admin, force=True) as (servers, _):
        text = await servers[0].command("CLIENT", "LIST", timeout_ms=ASK_MS)
    lines = text.decode(errors="replace").splitlines() if isinstance(text, bytes) else str(text).splitlines()
    clients = [dict(part.partition("=")[::2] for part in line.split()) for line in lines]
    return frozenset(
        one.get("addr", "").rpartition(":")[0].strip("[]") for one in clients if one.get("user") == WITNESS_USER
    )


async def add(settings: Settings, admin: Admin, password: Secret, *, force: bool, user: str | None = None) -> list[str]:
    """Let ``user``, by default the nodes' one, in by ``password`` as well, on every server.

    Returns what was done and what is left to do. Raises RotationError, also for a replica that cannot be entered,
    unless ``force``.
    """
    user = user or user_of(settings)
    told: list[str] = []
    async with _servers(settings, admin, force=force) as (servers, missed):
        if user == "default" and (len(servers) > 1 or missed or _service(settings)):
            told.append(_OTHERS_ENTER_TOO.format(service=_service(settings) or "NAME"))
        for server in servers:
            await server.command("ACL", "SETUSER", user, f">{password.reveal()}", timeout_ms=ASK_MS)
            told.append(f"{server.target.address}: the user '{user}' has the new password, and the old one still")
            told.append(await _persist(server, user))
    return told + _left_out(missed, user)


async def keep_only(
    settings: Settings, admin: Admin, password: Secret, *, force: bool, user: str | None = None
) -> list[str]:
    """Let ``user``, by default the nodes' one, in by nothing but ``password``.

    Returns what was done and what is left to do. Raises RotationError, unless ``force`` also for a replica that cannot
    be entered, and for a server that would enter another one with a password that is taken away.
    """
    kept = password_hash(password)
    user = user or user_of(settings)
    told: list[str] = []
    async with _servers(settings, admin, force=force) as (servers, missed):
        copies = servers if len(servers) > 1 else []  # one that is alone enters nobody
        copying = [one.target.address for one in copies if await _uses_old(one, user, kept)]
        if copying and not force:
            raise RotationError(
                f"masterauth on {', '.join(copying)} is another password of the user '{user}' than the new one, so "
                "nothing was taken away: replication would stop. Set it with CONFIG SET masterauth and in redis.conf"
            )
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
    told += _left_out(missed, user)
    kept_as = {NODE_USER: "node", WITNESS_USER: "witness", "default": "default"}.get(user)
    if kept_as is not None:
        told.append(f"next: if 'rppam redis setup' made this Redis, write the new password into its {FILE} as "
                    f"'{kept_as}'; else its next run puts the old one into the files again")  # fmt: skip
    return told


def _left_out(missed: list[str], user: str) -> list[str]:
    return [
        f"TO DO: {one}; before it starts, put the new password of '{user}' into its ACL file or redis.conf"
        for one in missed
    ]


def _service(settings: Settings) -> str | None:
    """The name of the primary at the sentinels, where there are some."""
    return settings.redis.connection.service_name if settings.redis.connection else None


@asynccontextmanager
async def _servers(
    settings: Settings, admin: Admin, *, force: bool
) -> AsyncIterator[tuple[list[Connection], list[str]]]:
    """The primary and its replicas, entered as the administrator; and why others could not be entered.

    Raises RotationError, also for a replica that cannot be entered, unless ``force``.
    """
    said = settings.redis.connection
    assert said is not None
    entering = replace(said, user=admin.user, password=admin.password,
                       sentinel_user=said.sentinel_user or said.user,
                       sentinel_password=said.sentinel_password or said.password)  # fmt: skip
    report = Report()
    report.hide(said.password, said.sentinel_password, admin.password, settings.redis.tls_cert_password)
    check = StoreCheck(
        replace(settings, redis=settings.redis.model_copy(update={"connection": entering})), report, SystemClock()
    )
    await check.reach()
    if check.connection is None:
        raise RotationError("; ".join(f"{one.code}: {one.what} {one.evidence}" for one in report.findings))
    primary = check.connection
    opened: list[Connection] = [primary]
    missed: list[str] = []
    try:
        told, problem = await _known_to_sentinels(entering, primary)
        missed += [problem] if problem else []
        for host, port in dict.fromkeys((*await _replicas(primary), *told)):
            target = replace(primary.target, host=host, port=port, require_primary=False)
            if target.address == primary.target.address:
                continue
            try:
                opened.append(await Connection.open(target, clock=SystemClock()))
            except StoreError as error:
                missed.append(f"{target.address}: {error}")
        if missed and not force:
            raise RotationError(
                "not every replica can be entered, and one that comes back with its former users keeps every node "
                f"out once it is the primary: {'; '.join(report.clean(one) for one in missed)}. Start it, or let the "
                "sentinels forget it (SENTINEL RESET), or add --force and change its ACL file or redis.conf before it "
                "starts"
            )
        yield opened, [report.clean(one) for one in missed]
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


async def _known_to_sentinels(said: ConnectionOptions, primary: Connection) -> tuple[list[tuple[str, int]], str]:
    """Every replica that a sentinel has not forgotten, also those that are down; and why none could say so."""
    if said.service_name is None:
        return [], ""
    found: list[tuple[str, int]] = []
    failures: list[str] = []
    targets = LinkOptions.of_sentinels(said, ssl=primary.target.ssl).targets()
    for target in targets:
        try:
            sentinel = await Connection.open(target, clock=SystemClock())
            try:
                known = await sentinel.command("SENTINEL", "SLAVES", said.service_name, timeout_ms=ASK_MS)
            finally:
                await sentinel.close()
        except StoreError as error:
            failures.append(f"{target.address}: {error}")
            continue
        told = [fields(one) for one in known] if isinstance(known, list) else []
        found += [(one["ip"], int(one["port"])) for one in told if "ip" in one and one.get("port", "").isdecimal()]
    silent = len(failures) == len(targets)
    return found, f"no sentinel says which replicas there are ({'; '.join(failures)})" if silent else ""


async def _uses_old(server: Connection, user: str, kept: str) -> bool:
    """Return whether it enters its primary as ``user`` with another password; ``False`` where that cannot be asked."""
    told: dict[str, str] = {}
    try:
        for name in ("masteruser", "masterauth"):
            told |= fields(await server.command("CONFIG", "GET", name, timeout_ms=ASK_MS))
    except StoreReplyError:  # CONFIG has another name there
        return False
    password = told.get("masterauth", "")
    return bool(password) and (told.get("masteruser") or "default") == user and password_hash(Secret(password)) != kept


async def _hashes(server: Connection, user: str) -> list[str]:
    account = await server.command("ACL", "GETUSER", user, timeout_ms=ASK_MS)
    if isinstance(account, list):
        account = dict(zip(account[::2], account[1::2], strict=False))
    if not isinstance(account, dict):
        raise RotationError(f"{server.target.address} has no user '{user}'")
    return [one.decode() for one in account.get(b"passwords", [])]


async def _persist(server: Connection, user: str) -> str:
    """Have the server write its users down, by whichever of the two ways it has."""
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
