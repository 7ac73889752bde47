"""A failover of Redis for a test: asked of the Sentinels, and seen at them.

Decides nothing about which replica is promoted; that is Sentinel's. What it does not promise: that the node's account
at the Sentinels may ask for a failover; where it may not, the Sentinels' own words say so.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rppam.config.options import ConnectionOptions
from rppam.config.settings import Settings
from rppam.failover_test.errors import NoSentinel, SentinelRefused
from rppam.kernel.system_clock import SystemClock
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError
from rppam.redis.options import LinkOptions, Target, address
from rppam.redis.sentinel_rules import fields
from rppam.redis.tls import TlsFiles

ASK_MS = 3_000
ANSWER_S: Final = 1.0
ALL_S: Final = 5.0


class SeenSentinel(NamedTuple):
    """What one Sentinel says."""

    sentinel: str
    """Its address, as the connection string has it."""
    primary: str
    """The one that it names; empty where it did not answer."""
    problem: str
    """Why it did not; else empty."""


class RedisPlaces(NamedTuple):
    """Who is what among the servers of Redis, as the first Sentinel that answers sees it."""

    primary: str
    replicas: tuple[str, ...]
    """Those that follow it now."""
    sentinels: tuple[SeenSentinel, ...] = ()
    """Every one of the connection string, in its order."""


async def fail_over(settings: Settings) -> str:
    """Have Sentinel promote a replica; what was begun. Raises NoSentinel, SentinelRefused."""
    service, targets = _sentinels(settings)
    said: list[str] = []
    for target in targets:
        try:
            await _ask(target, "FAILOVER", service)
        except StoreError as error:
            said.append(f"{target.address}: {error}")
            continue
        return f"the Sentinel at {target.address} has begun a failover of {service}"
    raise SentinelRefused(f"no Sentinel began a failover of {service}: {'; '.join(said)}")


async def places(settings: Settings) -> RedisPlaces:
    """Where the primary and its replicas are now. Raises NoSentinel, SentinelRefused where no Sentinel answers."""
    service, targets = _sentinels(settings)
    seen = await _all_seen(targets, service)
    sentinels = tuple(one for one, _ in seen)
    for one, replicas in seen:
        if one.primary:
            return RedisPlaces(one.primary, replicas, sentinels)
    said = "; ".join(f"{one.sentinel}: {one.problem}" for one in sentinels)
    raise SentinelRefused(f"no Sentinel answers: {said}")


async def _all_seen(targets: Sequence[Target], service: str) -> list[tuple[SeenSentinel, tuple[str, ...]]]:
    """What each Sentinel says. A silent one holds an answer of another up for a second, and none for some."""
    asked = [asyncio.create_task(_seen_by(target, service)) for target in targets]
    try:
        done, waiting = await asyncio.wait(asked, timeout=ANSWER_S)
        if waiting and not any(one.result()[0].primary for one in done):
            await asyncio.wait(waiting, timeout=ALL_S - ANSWER_S)
        silent = "it gave no answer in time"
        return [
            one.result() if one.done() else (SeenSentinel(target.address, "", silent), ())
            for one, target in zip(asked, targets, strict=True)
        ]
    finally:
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def _seen_by(target: Target, service: str) -> tuple[SeenSentinel, tuple[str, ...]]:
    """What a Sentinel says, and which replicas follow the primary that it names."""
    try:
        primary = fields(await _ask(target, "MASTER", service))
        found = await _ask(target, "SLAVES", service)
    except StoreError as error:
        return SeenSentinel(target.address, "", str(error)), ()
    replicas = [fields(one) for one in found] if isinstance(found, list) else []
    following = tuple(sorted(_place(one) for one in replicas if _follows(one)))
    return SeenSentinel(target.address, _place(primary), ""), following


def _follows(replica: dict[str, str]) -> bool:
    down = {"s_down", "o_down", "disconnected"} & set(replica.get("flags", "").split(","))
    return not down and replica.get("master-link-status") == "ok"


def _place(server: dict[str, str]) -> str:
    port = server.get("port", "")
    return address(server.get("ip", ""), int(port) if port.isdecimal() else 0)


def _sentinels(settings: Settings) -> tuple[str, tuple[Target, ...]]:
    said: ConnectionOptions | None = settings.redis.connection
    if not settings.redis.enabled or said is None or said.service_name is None:
        raise NoSentinel("redis.connectionString of the asked node names no serviceName")
    context = None
    if said.ssl:
        redis = settings.redis
        files = TlsFiles(
            ca_path=redis.tls_ca_path,
            cert_path=redis.tls_cert_path,
            cert_password=redis.tls_cert_password,
            clock=SystemClock(),
        )
        context = files.load()
    return said.service_name, LinkOptions.of_sentinels(said, ssl=context).targets()


async def _ask(target: Target, *words: str) -> Any:
    made = await Connection.open(target, clock=SystemClock())
    try:
        return await made.command("SENTINEL", *words, timeout_ms=ASK_MS)
    finally:
        await made.close()
