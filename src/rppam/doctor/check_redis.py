"""Redis as this host sees it: reach it, look at it, judge what was seen.

One attempt for each address, all at once, so a set-up of many dead addresses takes no longer than one. Where no server
lets us in, each address is looked at a second time with a bare socket, to name the cause.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from rppam.catalogue.table import finding
from rppam.cluster.consensus.timing import Timing
from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link.key_files import read_cluster_keys
from rppam.cluster.store.heartbeat_text import heartbeat_from_text, is_name, is_unauthenticated
from rppam.config.endpoint import parse_endpoint
from rppam.config.errors import ConfigError
from rppam.config.options import ConnectionOptions
from rppam.config.settings import Settings
from rppam.crypto.store_mac import StoreMac
from rppam.doctor.diagnosis import failure_finding, second_look
from rppam.doctor.member_rules import Shown
from rppam.doctor.redis_checkup import RedisPipeline
from rppam.doctor.redis_facts import RedisFacts, SentinelFacts
from rppam.doctor.report import Report
from rppam.doctor.sentinel_conf import told_in
from rppam.kernel.clock import Clock
from rppam.kernel.finding import Severity
from rppam.redis.connection import Connection
from rppam.redis.errors import StoreError, StoreReadOnly, StoreTlsFailed
from rppam.redis.options import LinkOptions, Target
from rppam.redis.tls import TlsFiles

PATIENCE_MS_MAX: Final = 5_000
REPLICAS_MAX: Final = 8
"""Replicas that are asked while there is no primary."""
LIVE_HEARTBEAT_MS: Final = 5_000
"""A heartbeat younger than this, or than :data:`LIVE_BEATS` of them, is that of a node that runs now."""
LIVE_BEATS: Final = 3
NAMES_MAX: Final = 256
"""Names that the exchange script leaves in place."""
NAMES_TOLD: Final = 8


class StoreCheck:
    """The checks of one Redis set-up, run by :meth:`reach`, then :meth:`look`."""

    def __init__(self, settings: Settings, report: Report, clock: Clock, sentinel_conf: Path | None = None) -> None:
        assert settings.redis.connection is not None
        self._settings = settings
        self._said: ConnectionOptions = settings.redis.connection
        self._report = report
        self._clock = clock
        self._sentinel_conf = sentinel_conf
        self._connection: Connection | None = None
        self._sentinels: tuple[SentinelFacts, ...] = ()
        self._ready: LinkOptions | None = None
        self._timing = settings.cluster.timing
        self.keyless: tuple[str, ...] = ()
        """Where :meth:`shown` found heartbeats as a node without a cluster key writes them, or a stranger."""
        self._timeout_ms = min(self._said.timeouts.sync_ms, PATIENCE_MS_MAX)
        self._pipeline = RedisPipeline.of(settings, clock, timeout_ms=self._timeout_ms)

    @property
    def connection(self) -> Connection | None:
        """The open connection, once :meth:`reach` found a way in."""
        return self._connection

    @property
    def is_reached(self) -> bool:
        """Whether there is a connection that can be asked."""
        return self._connection is not None and self._connection.lost is None

    async def reach(self) -> None:
        """Connect to Redis, by the sentinels where there are some."""
        options = self._ready = await self._options()
        if options is None:
            return
        if self._said.service_name is None:
            await self._enter(options.targets(), is_named=False)
            return
        await self._ask_sentinels(options)

    async def look(self) -> None:
        """Judge the server, the prefix and the names on it, as far as a server let us in."""
        primary: RedisFacts | None = None
        if self._connection is not None:
            primary, found = await self._pipeline.server(self._connection)
            self._report.add(*found)
        service = self._said.service_name
        if service is not None and self._sentinels:
            replicas = await self._replicas() if primary is None else []
            told = told_in(self._sentinel_conf, service)
            self._report.add(*self._pipeline.sentinels(self._sentinels, primary, replicas, told))

    async def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            await self._connection.close()

    def why_not_asked(self) -> str:
        """Why a check could not be made, or nothing."""
        return "" if self.is_reached else "Redis not reached"

    async def name_in_use(self) -> None:
        """Report a node of this node's name that runs now, by its heartbeat."""
        node = self._settings.node.node_name
        if self._connection is None or not self.is_reached:
            return
        probe = self._pipeline.probe(self._connection)
        try:
            found = await probe.heartbeat_of(self._settings.redis.key_prefix, node)
        except StoreError:
            return
        mac = store_mac_of(self._settings)
        heartbeat = heartbeat_from_text(found[0].encode(), node, mac) if found else None
        if found is None or heartbeat is None or heartbeat.leaving or not is_fresh(found[1], self._timing):
            return
        age_ms = self._timing.heartbeat_ttl_ms - found[1]
        place = f" ({heartbeat.api_url})" if heartbeat.api_url else ""
        evidence = f"a heartbeat of {node!r}, {age_ms} ms old, from host {heartbeat.hostname}{place}"
        self._report.add(finding("RD-609", evidence))

    async def look_as_witness(self) -> None:
        """Check that a witness's user may read no cache."""
        if self._connection is None or not self.is_reached:
            return
        key = f"{self._settings.redis.key_prefix}cache:doctor"
        try:
            await self._connection.command("GET", key, timeout_ms=self._timeout_ms)
        except StoreError:
            return
        self._report.add(finding("RD-953", f"user {self._said.user or 'default'!r} may read {key}"))

    async def shown(self) -> dict[str, Shown] | None:
        """What every node shows of itself in Redis; ``None`` when Redis cannot be asked.

        A heartbeat that was written without the cluster key is reported by its name alone, and nothing that it says.
        """
        if self._connection is None or not self.is_reached:
            return None
        probe, prefix = self._pipeline.probe(self._connection), self._settings.redis.key_prefix
        try:
            listed = await probe.listed(prefix)
            if listed > NAMES_MAX:
                self._report.add(finding("RD-948", f"{prefix}members lists {listed} names"))
                return None
            found = await probe.heartbeats(prefix)
        except StoreError:
            return None
        if found is None:
            return None
        found = {name: one for name, one in found.items() if is_name(name)}
        mac = store_mac_of(self._settings)
        odd = sorted(name for name, (text, _) in found.items() if is_unauthenticated(text.encode(), mac))
        read = {
            name: (heartbeat_from_text(text.encode(), name, mac), left_ms) for name, (text, left_ms) in found.items()
        }
        unsigned = {name: heartbeat_from_text(found[name][0].encode(), name) for name in odd}
        self.keyless = tuple(name for name, beat in unsigned.items() if beat and not beat.member_address)
        if odd:
            more = f" and {len(odd) - NAMES_TOLD} more" if len(odd) > NAMES_TOLD else ""
            self._report.add(finding("RD-947", f"under {', '.join(odd[:NAMES_TOLD])}{more}"))
        return {
            name: Shown(beat, is_fresh(left_ms, self._timing))
            for name, (beat, left_ms) in read.items()
            if beat is not None
        }

    # ---- reaching ---------------------------------------------------------------------------------------------------

    async def _options(self) -> LinkOptions | None:
        """How to connect, with the files of TLS; a finding and ``None`` when they cannot be used."""
        redis, context = self._settings.redis, None
        if self._said.ssl:
            files = TlsFiles(
                ca_path=redis.tls_ca_path,
                cert_path=redis.tls_cert_path,
                cert_password=redis.tls_cert_password,
                clock=self._clock,
            )
            try:
                context = await files.current()
            except (ConfigError, StoreTlsFailed) as error:  # also one that is out of date: a node does not show it
                self._report.add(finding("RD-612", str(error)))
                return None
            self._report.add(*(finding("RD-613", sentence) for sentence in files.warnings()))
        return replace(
            LinkOptions.of(self._said, client_name="rppam:doctor", ssl=context),
            connect_timeout_ms=min(self._said.timeouts.connect_ms, PATIENCE_MS_MAX),
            command_timeout_ms=self._timeout_ms,
        )

    async def _enter(self, targets: tuple[Target, ...], *, is_named: bool) -> None:
        """Use the first address that lets us in, and name what is wrong with the others."""
        opened = await asyncio.gather(*(self._open(target) for target in targets))
        for answer in opened:
            if isinstance(answer, Connection):
                if self._connection is None:
                    self._connection = answer
                else:
                    await answer.close()
        failed = [
            (target, answer) for target, answer in zip(targets, opened, strict=True) if isinstance(answer, StoreError)
        ]
        if self._connection is not None:
            failed = [(target, error) for target, error in failed if not isinstance(error, StoreReadOnly)]
        looks = await asyncio.gather(*(second_look(target, error) for target, error in failed))
        for (target, error), seen in zip(failed, looks, strict=True):
            told = failure_finding(error, with_tls=target.ssl is not None, seen=seen)
            severity = Severity.WARNING if self._connection is not None else None
            if is_named:
                evidence = f"the sentinels name {target.address}; {told.code} follows"
                self._report.add(finding("RD-405", evidence, severity=severity))
            self._report.add(replace(told, severity=severity or told.severity))

    async def _open(self, target: Target) -> Connection | StoreError:
        try:
            return await Connection.open(target, clock=self._clock)
        except StoreError as error:
            return error

    async def _ask_sentinels(self, options: LinkOptions) -> None:
        said = self._said
        to_sentinels = replace(
            options,
            user=said.sentinel_user or said.user,
            password=said.sentinel_password or said.password,
            command_map={},
        )
        self._sentinels = await self._pipeline.ask_sentinels(to_sentinels.targets())
        # A stale one may name a former primary: what counts is which server says that it is the primary.
        named = dict.fromkeys(one.primary for one in self._sentinels if one.primary is not None)
        places = tuple((host, port or 6379) for host, port in map(parse_endpoint, named))
        if places:
            await self._enter(replace(options, endpoints=places).targets(), is_named=True)

    async def _replicas(self) -> list[RedisFacts]:
        """The replicas that the sentinels know, while there is no primary: Sentinel will promote one of them."""
        options = self._ready
        known = dict.fromkeys(place for one in self._sentinels for place in one.replica_addresses)
        places = tuple((host, port or 6379) for host, port in map(parse_endpoint, list(known)[:REPLICAS_MAX]))
        if options is None or not places:
            return []
        targets = [replace(target, require_primary=False) for target in replace(options, endpoints=places).targets()]
        asked = await asyncio.gather(*map(self._names_of, targets))
        return [facts for facts in asked if facts is not None]

    async def _names_of(self, target: Target) -> RedisFacts | None:
        opened = await self._open(target)
        if not isinstance(opened, Connection):
            return None
        try:
            return await self._pipeline.probe(opened).names()
        except StoreError:
            return None
        finally:
            await opened.close()


def store_mac_of(settings: Settings) -> StoreMac | None:
    """What signs this cluster's heartbeats; ``None`` without a usable key."""
    path = settings.auth.cluster_key_path
    try:
        keys = read_cluster_keys(path) if path.exists() else None
    except (ClusterKeyUnusable, OSError):  # the check of the member reports it
        return None
    return None if keys is None else StoreMac(settings.cluster.cluster_id, keys.own, keys.also)


def is_fresh(left_ms: int, timing: Timing) -> bool:
    """Return whether a heartbeat with ``left_ms`` to live is that of a node that runs now."""
    age_ms = timing.heartbeat_ttl_ms - left_ms
    return left_ms > 0 and age_ms <= max(LIVE_HEARTBEAT_MS, LIVE_BEATS * timing.heartbeat_ms)
