"""How soon a change holds in every process of every node: asked again and again over many connections."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Final, TypeVar

import rppam.app.slices  # noqa: F401 - declares the migrations
from benchmarks.ranks import nearest_rank
from benchmarks.wire import Wire
from rppam.access.lockouts.model import LockoutPolicy, user_suspect
from rppam.access.lockouts.store import SqlLockouts
from rppam.db.database import Database
from tests.support.lab import LabNode

W = TypeVar("W")
ASK: Final = "/api/v1/nothing"
"""Nothing is there: 404 for whoever is let in, and no work beside the check."""
LOGIN: Final = "/api/v1/auth/login"
LET_IN, ENDED, LOCKED = 404, 401, 429
LINES: Final = 4
"""Connections to each node; enough for both workers to have one."""
TARGET_MS: Final = 100
"""The 99th percentile is to be below this, after the answer."""
WITHIN_S: Final = 60
USER: Final = {"username": "often-locked", "password": "correct horse battery"}


async def revoke(nodes: list[LabNode], tokens: list[str]) -> dict[str, Any]:
    """End the sessions of these tokens one after the other; for how long was each still let in?"""
    with ExitStack() as stack:
        wires, enders = _wires(stack, nodes, LINES), _wires(stack, nodes, 1)
        found = []
        for at, token in enumerate(tokens):
            # Every process has a near copy of it.
            assert {await _get(token, wire) for wire in wires} == {LET_IN}
            change = partial(_post, enders[at % len(enders)], "/api/v1/auth/logout", token, 204)
            found.append(await delay(wires, partial(_get, token), LET_IN, change))
    return {"revocations": len(tokens), **_spreads(found)}


async def unlock(nodes: list[LabNode], admin: str, database_url: str, count: int) -> dict[str, Any]:
    """Lock a user and unlock it, so many times; for how long was the right password still refused somewhere?

    ``admin`` is an administrator's token. The lockout is written into the database, as a node does it after too many
    wrong passwords.
    """
    made = await asyncio.to_thread(nodes[0].ask, "/api/v1/users", token=admin, method="POST", send=USER, timeout_s=10)
    assert made.status == 201, made
    path, body = f"/api/v1/users/{made.body['id']}/unlock", json.dumps(USER).encode()
    database, found = Database(database_url, 10_000), []
    await database.start()
    try:
        with ExitStack() as stack:
            wires, enders = _wires(stack, nodes, LINES), _wires(stack, nodes, 1)
            for at in range(count):
                await SqlLockouts(database).lock(user_suspect(USER["username"]), LockoutPolicy())
                # Every process knows of it.
                assert {await _sign_in(body, wire) for wire in wires} == {LOCKED}
                change = partial(_post, enders[at % len(enders)], path, admin, 200)
                found.append(await delay(wires, partial(_sign_in, body), LOCKED, change))
    finally:
        await database.stop()
    return {"unlocks": count, **_spreads(found)}


async def delay(
    wires: list[W], ask: Callable[[W], Awaitable[int]], old: int, change: Callable[[], Awaitable[None]]
) -> tuple[float, float]:
    """Until ``change`` answers, and for how long after that a question was still sent that got ``old``, in ms."""
    over = asyncio.Event()
    last_old = 0.0

    async def watch(wire: W) -> None:
        nonlocal last_old
        while True:
            sent = time.monotonic()
            if await ask(wire) == old:
                last_old = max(last_old, sent)
            elif over.is_set():
                return

    watchers = [asyncio.create_task(watch(wire)) for wire in wires]
    asked = time.monotonic()
    await change()
    done = time.monotonic()
    over.set()
    await asyncio.wait_for(asyncio.gather(*watchers), WITHIN_S)
    return (done - asked) * 1e3, max(0.0, last_old - done) * 1e3


def spread(values: list[float]) -> dict[str, float]:
    """Percentiles by the nearest rank, in ms."""
    return {name: round(nearest_rank(values, share), 2) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def table(revocation: dict[str, Any], unlocking: dict[str, Any]) -> list[str]:
    """Both, as lines of Markdown."""
    rows = (
        ("revocation: until the answer", revocation["answer"], False),
        ("let in somewhere after the answer, for", revocation["after"], True),
        ("unlock: until the answer", unlocking["answer"], False),
        ("refused (429) somewhere after the answer, for", unlocking["after"], True),
    )
    return [
        f"{revocation['revocations']} revocations and {unlocking['unlocks']} unlocks of a user, one after the other, "
        f"each watched over {3 * LINES} connections:",
        "",
        f"| | p50 | p99 | max | p99 under {TARGET_MS} ms |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {told['p50']:.1f} ms | {told['p99']:.1f} ms | {told['max']:.1f} ms "
            f"| {('yes' if told['p99'] < TARGET_MS else 'no') if aimed else ''} |"
            for name, told, aimed in rows
        ),
    ]


async def _get(token: str, wire: Wire) -> int:
    return await wire.get(ASK, token)


async def _sign_in(body: bytes, wire: Wire) -> int:
    return await wire.ask("POST", LOGIN, body=body)


async def _post(wire: Wire, path: str, token: str, wanted: int) -> None:
    status = await wire.ask("POST", path, token)
    assert status == wanted, status


def _wires(stack: ExitStack, nodes: list[LabNode], lines: int) -> list[Wire]:
    wires = [Wire("127.0.0.1", node.port) for node in nodes for _ in range(lines)]
    for wire in wires:
        stack.callback(wire.close)
    return wires


def _spreads(found: list[tuple[float, float]]) -> dict[str, Any]:
    return {"answer": spread([answer for answer, _ in found]), "after": spread([after for _, after in found])}
