"""What was seen of Redis from one host, as plain values: the input of :mod:`rppam.doctor.redis_requirements`.

``None`` always means *not seen* (denied, renamed, too old to tell), never *no*. Nothing here holds a password.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rppam.doctor.packages import Package

DANGEROUS: Final = ("FLUSHALL", "FLUSHDB", "CONFIG", "DEBUG", "SHUTDOWN", "KEYS", "REPLICAOF", "ACL")
"""Looked for by name and never executed. The first four are the article's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """One Redis server that let us in."""

    address: str
    server: str = "redis"
    version: str = ""
    redis_version: str = ""
    info: Mapping[str, str] = field(default_factory=dict)
    """All INFO fields that could be read."""
    user: str = "default"
    password_chars: int | None = None
    """Length of the password in use; ``None``: none is sent."""
    anonymous: bool | None = None
    """A client without a password is let in."""
    commands: Mapping[str, bool] | None = None
    """For each of DANGEROUS: whether the server knows it under that name."""
    runnable: Mapping[str, bool] | None = None
    """For each of DANGEROUS: whether the server would let this user run it (ACL DRYRUN)."""
    rules: str | None = None
    """This user's command rules (ACL GETUSER), where DRYRUN is not known."""
    round_trips_us: tuple[int, ...] = ()
    clock_difference_ms: int | None = None
    """Redis' clock minus ours, by the middle of the fastest round trip."""
    clock_error_ms: int = 0
    """Half of that round trip: how far ``clock_difference_ms`` may be off."""
    refused: tuple[tuple[str, str], ...] = ()
    """What a node needs and this user was refused: (command, the server's words)."""
    write_refusal: str | None = None
    """Why a write under our prefix failed, in the server's words; the code is in ``write_code``."""
    write_code: str = ""
    package: Package | str | None = None
    """This host's package of the same server, or why there is none to ask; ``None``: not looked."""
    certificate_days_left: float | None = None
    certificate_shown: str = ""

    def number(self, name: str) -> int | None:
        """An INFO field as a number."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixFacts:
    """Whose the key prefix is."""

    prefix: str
    cluster_id: str
    found_id: str | None = None
    """The cluster id that stands there."""
    foreign: str = ""
    """The server's words, where a value of another type stands in its place."""
    outer: tuple[tuple[str, str], ...] = ()
    """(prefix, cluster id) of clusters whose prefix contains ours."""
    inner: tuple[str, ...] = ()
    """Prefixes of clusters inside ours."""
    searched_all: bool = True
    not_searched: str = ""
    """Why SCAN could not be used at all, in the server's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelFacts:
    """One sentinel, asked for one service name."""

    address: str
    failure: str | None = None
    """Why it could not be asked."""
    failure_code: str = ""
    """The code of that failure, as of one at Redis itself; empty when it has none."""
    primary: str | None = None
    """``host:port`` that it names; ``None``: it does not know the service."""
    known_services: tuple[str, ...] = ()
    replicas: int | None = None
    other_sentinels: int | None = None
    flags: str = ""
    quorum_check: str = ""
    """What CKQUORUM answered."""
    replica_addresses: tuple[str, ...] = ()
    """``host:port`` of the replicas that it knows; asked only while the primary is down for it, or is changed."""

    @property
    def is_busy(self) -> bool:
        """The primary is down for it, or a failover is under way."""
        return bool({"failover_in_progress", "o_down", "s_down"} & set(self.flags.split(",")))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentinelMode:
    """The whole of a Sentinel set-up."""

    service_name: str
    sentinels: tuple[SentinelFacts, ...]
    config_name_told: bool | None = None
    """A sentinel.conf has the new name of CONFIG; ``None``: none could be read."""
    sentinel_conf: str = ""
    """The file that ``config_name_told`` is about."""
