"""What a Redis must be like for this product, as pure decisions: facts in, findings out.

Sources: the vendor article on Redis for HA (version, password, AOF, memory, dangerous commands, Sentinel minimum) and
our own measurements (evicting policies, min-replicas, renamed CONFIG behind Sentinel). Facts that could not be read
give a note that says so, never a silent pass. It does not collect the facts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from rppam.catalogue.fixes import Fix
from rppam.catalogue.redis import AT_SENTINELS
from rppam.catalogue.table import ROWS, finding
from rppam.doctor.advisories import holes_of
from rppam.doctor.packages import Package
from rppam.doctor.redis_facts import DANGEROUS, PrefixFacts, RedisFacts, SentinelFacts, SentinelMode
from rppam.kernel.finding import Finding, Severity

MIB: Final = 1024 * 1024
LEAST_BYTES: Final = 256 * MIB
ADVISED_BYTES: Final = 1024 * MIB
MANY_SESSIONS: Final = 50
"""Active sessions from which on :data:`ADVISED_BYTES` are advised."""
PASSWORD_CHARS: Final = 32
DEFAULT_USER: Final = "default"
FULL_PERCENT: Final = 80
CLOCK_WARN_MS: Final = 1_000
CERTIFICATE_DAYS: Final = 30
ARTICLE_COMMANDS: Final = DANGEROUS[:4]
UNREACHED: Final = frozenset({"RD-101", "RD-102", "RD-104", "RD-105", "RD-106", "RD-111"})
"""Failures at a sentinel that mean: it does not run, or the way there is not open."""


_ADMIN: Final = frozenset({"admin", "slow", "dangerous"})
_CATEGORIES: Final = {
    "FLUSHALL": {"keyspace", "write", "slow", "dangerous"},
    "FLUSHDB": {"keyspace", "write", "slow", "dangerous"},
    "KEYS": {"keyspace", "read", "slow", "dangerous"},
    **dict.fromkeys(("CONFIG", "DEBUG", "SHUTDOWN", "REPLICAOF", "ACL"), _ADMIN),
}
"""Of each dangerous command."""
_HARMLESS: Final = frozenset(
    ["acl|whoami", "acl|dryrun", "acl|cat", "acl|genpass", "acl|help", "config|help", "config|rewrite", "debug|help"]
)
"""Sub-commands that change nothing that matters: a right to these alone is no right to the command."""


def server_findings(facts: RedisFacts, *, patience_ms: int) -> list[Finding]:
    """Judge one server. ``patience_ms``: how long a node waits for one exchange."""
    return [
        *_version(facts),
        *_access(facts),
        *_commands(facts),
        *_persistence(facts),
        *_memory(facts),
        *_writes(facts),
        *_certificate(facts),
        *_times(facts, patience_ms),
        *_unseen(facts),
    ]


def _version(facts: RedisFacts) -> Iterator[Finding]:
    told = _numbers(facts.redis_version)
    shown = f"{facts.server} {facts.version} at {facts.address}"
    if facts.version != facts.redis_version:
        shown += f", compatible with Redis {facts.redis_version}"
    if told and told < (6, 2):
        yield finding("RD-301", shown)
        return
    holes = known_holes(facts)
    if holes:
        yield _holes(facts, holes, shown)
    if told and told < (7,):
        yield finding("RD-315", shown)


def known_holes(facts: RedisFacts) -> dict[str, str]:
    """The holes that a server of this number has, unless a distribution has mended them."""
    return holes_of(facts.server, _numbers(facts.version))


def _holes(facts: RedisFacts, holes: Mapping[str, str], shown: str) -> Finding:
    """The holes of a version, less those that its distribution has mended under the same number."""
    build, package = facts.info.get("redis_build_id", ""), facts.package
    if not isinstance(package, Package) or not build or package.build != build:
        return finding("RD-302", f"{shown}: {'; '.join(holes.values())}; {_why_not_asked(package, build)}")
    of_package = f"{shown} is the build of the package {package.version} on this host"
    left = [text for name, text in holes.items() if name not in package.mended]
    if left:
        return finding("RD-302", f"{of_package}, whose changelog does not name {'; '.join(left)}")
    mended = f"{of_package}, whose changelog says that it mends {', '.join(holes)}"
    what = "This version of Redis has known vulnerabilities, and the distribution has mended them under this number."
    fix = "Nothing has to be done: this build has no such hole."
    return replace(finding("RD-302", mended, severity=Severity.NOTE, what=what), fix=fix)


def _why_not_asked(package: Package | str | None, build: str) -> str:
    unasked = "whether a distribution has mended them under this number could not be asked"
    if isinstance(package, Package):
        which = f"it is the build {build}" if build else "it does not say which build it is"
        return f"{unasked}: {which}, and this host's package {package.version} is the build {package.build}"
    return f"{unasked}: {package}" if package else unasked


def _access(facts: RedisFacts) -> Iterator[Finding]:
    if facts.anonymous:
        yield finding("RD-310", f"{facts.address} answered HELLO and PING without a password")
    if facts.password_chars is not None and facts.password_chars < PASSWORD_CHARS:
        yield finding("RD-311", f"the password in the config has {facts.password_chars} characters")
    if facts.user == DEFAULT_USER and not facts.anonymous:
        yield finding("RD-317", f"{facts.address} knows this node as the user '{facts.user}'")


def _commands(facts: RedisFacts) -> Iterator[Finding]:
    reachable = reachable_commands(facts)
    if reachable:
        how = "ACL DRYRUN" if facts.runnable is not None else "the user's rules" if facts.rules else "COMMAND INFO"
        severity = None if set(reachable) & set(ARTICLE_COMMANDS) else Severity.NOTE
        evidence = f"user '{facts.user}' may run {', '.join(reachable)} (by {how}; none was run)"
        yield finding("RD-312", evidence, severity=severity)
    if facts.refused:
        denied = [f"{name}: {words}" for name, words in facts.refused if _is_denial(words)]
        other = [f"{name}: {words}" for name, words in facts.refused if not _is_denial(words)]
        if denied:
            yield finding("RD-203", f"user '{facts.user}': " + "; ".join(denied))
        if other:
            yield finding("RD-215", "; ".join(other))


def _is_denial(words: str) -> bool:
    """Inside scripts there is no NOPERM, only a sentence, which differs from version to version."""
    told = ("NOPERM", "can't run this command", "can't access", "ACL failure", "o permissions")
    return any(part in words for part in told)


def reachable_commands(facts: RedisFacts) -> tuple[str, ...]:
    """The dangerous commands that this user can run under their own names. Empty also when that is not known."""
    if facts.commands is None:
        return ()
    known = [name for name in DANGEROUS if facts.commands.get(name)]
    if facts.runnable is not None:
        return tuple(name for name in known if facts.runnable.get(name))
    return tuple(name for name in known if facts.rules is not None and _may_run(facts.rules, name))


def _may_run(rules: str, command: str) -> bool:
    """Return whether ``rules`` (as ACL GETUSER writes them) allow ``command``, which is one of DANGEROUS.

    For Redis 6.2, which has no ACL DRYRUN. In order, the last rule that fits wins (Redis documentation of ACL). A rule
    that allows one sub-command counts as the whole command, since that is enough to do harm.
    """
    allowed = False
    name = command.lower()
    for rule in rules.lower().split():
        sign, rest = rule[:1], rule[1:]
        if sign not in ("+", "-"):
            allowed = rule == "allcommands" or (allowed and rule != "nocommands")
            continue
        if rest.startswith("@"):
            fits = rest == "@all" or rest[1:] in _CATEGORIES[command]
        elif "|" in rest:
            fits = sign == "+" and rest.split("|")[0] == name and rest not in _HARMLESS
        else:
            fits = rest == name
        if fits:
            allowed = sign == "+"
    return allowed


def with_many_sessions(found: Finding) -> Finding:
    """The finding where there are :data:`MANY_SESSIONS` active sessions: too little memory is no note then."""
    if found.code != "RD-306":
        return found
    what = f"Redis may use less than 1 GB of memory, and {MANY_SESSIONS} or more sessions are active."
    return replace(found, severity=Severity.WARNING, what=what)


def _persistence(facts: RedisFacts) -> Iterator[Finding]:
    info = facts.info
    if info.get("aof_enabled") == "0":
        yield finding("RD-303", "INFO persistence: aof_enabled:0")
    failing = [
        f"{name}:{info[name]}"
        for name in ("aof_last_write_status", "rdb_last_bgsave_status", "aof_last_bgrewrite_status")
        if info.get(name, "ok") != "ok"
    ]
    if failing:
        yield finding("RD-304", "INFO persistence: " + ", ".join(failing))


def _memory(facts: RedisFacts) -> Iterator[Finding]:
    limit = facts.number("maxmemory")
    policy = facts.info.get("maxmemory_policy", "")
    if limit is None:
        return
    seen = f"INFO memory: maxmemory:{limit} ({_mib(limit)}), maxmemory_policy:{policy}"
    if limit == 0:
        host = facts.number("total_system_memory")
        yield finding("RD-309", seen + (f", total_system_memory:{host} ({_mib(host)})" if host else ""))
        if host is not None and host < LEAST_BYTES:
            yield finding("RD-305", f"total_system_memory:{host} ({_mib(host)})")
    elif limit < LEAST_BYTES:
        yield finding("RD-305", seen)
    elif limit < ADVISED_BYTES:
        yield finding("RD-306", seen)
    if policy and policy != "noeviction":
        without = " (no effect until maxmemory is set)" if limit == 0 else ""
        severity = Severity.WARNING if limit == 0 else None
        yield finding("RD-307", f"INFO memory: maxmemory_policy:{policy}{without}", severity=severity)
    yield from _fill(facts, "maxmemory" if limit else "total_system_memory")


def _fill(facts: RedisFacts, limit: str) -> Iterator[Finding]:
    """Report when most of ``limit`` is used: its own, or the host's memory, which is the limit without one."""
    used, most = facts.number("used_memory"), facts.number(limit)
    if used is None or not most or used * 100 < most * FULL_PERCENT:
        return
    seen = f"INFO memory: used_memory:{used} of {limit}:{most} ({used * 100 // most} %)"
    if limit == "maxmemory":
        yield finding("RD-308", seen)
    else:
        more = "Nothing stops it before the host does: give the host more memory, or make room, then set a limit."
        yield finding("RD-308", seen, what="Redis has nearly used up the memory of its host.", fix=more)


def _writes(facts: RedisFacts) -> Iterator[Finding]:
    if facts.write_refusal is not None:
        yield finding(facts.write_code, f"a write under our prefix was answered: {facts.write_refusal}")


def _certificate(facts: RedisFacts) -> Iterator[Finding]:
    left = facts.certificate_days_left
    if left is not None and left <= CERTIFICATE_DAYS:
        yield finding("RD-128", f"{facts.certificate_shown}: {left:.0f} days are left")


def _times(facts: RedisFacts, patience_ms: int) -> Iterator[Finding]:
    difference = facts.clock_difference_ms
    if difference is not None and abs(difference) - facts.clock_error_ms > CLOCK_WARN_MS:
        side = "ahead of" if difference > 0 else "behind"
        yield finding(
            "RD-313", f"Redis is {abs(difference)} ms {side} this host (known to within {facts.clock_error_ms} ms)"
        )
    if facts.round_trips_us:
        middle, worst = median(facts.round_trips_us) / 1000, max(facts.round_trips_us) / 1000
        if worst > patience_ms / 2 or middle > patience_ms / 10:
            yield finding(
                "RD-314",
                f"{len(facts.round_trips_us)} PINGs took {middle:.1f} ms in the middle and {worst:.1f} ms at worst; "
                f"a node waits {patience_ms} ms",
            )


def _unseen(facts: RedisFacts) -> Iterator[Finding]:
    missing = [
        name
        for name, there in (
            ("INFO persistence", "aof_enabled" in facts.info),
            ("INFO memory", "maxmemory" in facts.info),
            ("COMMAND INFO", facts.commands is not None),
            ("ACL DRYRUN or ACL GETUSER", facts.runnable is not None or facts.rules is not None),
            ("TIME", facts.clock_difference_ms is not None),
        )
        if not there
    ]
    if missing:
        yield finding("RD-316", f"user '{facts.user}' was not told: {', '.join(missing)}")


def prefix_findings(facts: PrefixFacts) -> list[Finding]:
    """Judge whether the prefix is this cluster's own."""
    found: list[Finding] = []
    if facts.foreign:
        found.append(finding("RD-217", f"{facts.prefix}cluster-id: {facts.foreign}"))
    if facts.found_id is not None and facts.found_id != facts.cluster_id:
        found.append(
            finding(
                "RD-501",
                f"{facts.prefix}cluster-id is '{facts.found_id}', and this node belongs to '{facts.cluster_id}'",
            )
        )
    found += [
        finding("RD-502", f"'{facts.prefix}' lies within '{prefix}' of the cluster '{owner}'")
        for prefix, owner in facts.outer
    ]
    found += [finding("RD-502", f"'{facts.prefix}' contains '{prefix}' of another cluster") for prefix in facts.inner]
    if facts.not_searched:
        what = "Whether other clusters are within this keyPrefix was not searched: SCAN is refused here."
        found.append(finding("RD-503", f"SCAN was answered: {facts.not_searched}", what=what))
    elif not facts.searched_all:
        found.append(finding("RD-503", "the search was ended after its share of SCAN calls"))
    return found


def sentinel_findings(
    mode: SentinelMode, primary: RedisFacts | None, replicas: Sequence[RedisFacts] = ()
) -> list[Finding]:
    """Judge the Sentinel set-up; ``primary`` is the server that the sentinels name, where it let us in.

    ``replicas``: those that were asked instead of a primary that could not be.
    """
    asked = [sentinel for sentinel in mode.sentinels if sentinel.failure is None]
    lost = [sentinel for sentinel in mode.sentinels if sentinel.failure is not None]
    if not asked:
        by_cause = {_fix_of(one): [other for other in lost if _fix_of(other) == _fix_of(one)] for one in lost}
        return [_unasked("RD-402", those) for those in by_cause.values()]
    found = [_unasked("RD-403", [one]) for one in lost]
    knowing = [sentinel for sentinel in asked if sentinel.primary is not None]
    strangers = [sentinel for sentinel in asked if sentinel.primary is None]
    if strangers:
        others = sorted({name for sentinel in strangers for name in sentinel.known_services})
        told = f"they know {', '.join(others)}" if others else "they monitor nothing"
        where = ", ".join(sentinel.address for sentinel in strangers)
        severity = Severity.WARNING if knowing else None
        found.append(
            finding("RD-401", f"serviceName '{mode.service_name}' is unknown to {where}; {told}", severity=severity)
        )
    if not knowing:
        return found
    named = {sentinel.primary for sentinel in knowing}
    if len(named) > 1:
        said = ", ".join(f"{sentinel.address} names {sentinel.primary}" for sentinel in knowing)
        found.append(finding("RD-404", said))
    found += _numbers_of(len(mode.sentinels), knowing, primary)
    refusals = [f"{one.address}: {one.quorum_check}" for one in knowing if one.quorum_check.startswith("NO")]
    if refusals:
        found.append(finding("RD-410", "; ".join(refusals)))
    busy = [f"{one.address}: flags {one.flags}" for one in knowing if one.is_busy]
    if busy:
        found.append(finding("RD-411", "; ".join(busy)))
    asked_for_config = (primary,) if primary is not None else replicas
    renamed = [one for one in asked_for_config if one.commands and not one.commands.get("CONFIG", True)]
    if renamed:
        found.append(_config_renamed(mode, knowing, renamed, is_primary=primary is not None))
    return found


def _unasked(code: str, lost: Sequence[SentinelFacts]) -> Finding:
    """Sentinels that could not be asked, all for one cause: the fix is that of the cause."""
    told = finding(code, "; ".join(f"{one.address}: {one.failure}" for one in lost))
    fix = _fix_of(lost[0])
    return told if fix is None else replace(told, fix=fix.text())


def _fix_of(lost: SentinelFacts) -> Fix | None:
    """What to do about the cause; ``None`` where it does not run or cannot be reached, which is the common one."""
    code = lost.failure_code
    if not code or code in UNREACHED:
        return None
    return AT_SENTINELS.get(code) or ROWS[code].fix


def _numbers_of(named: int, knowing: Sequence[SentinelFacts], primary: RedisFacts | None) -> Iterator[Finding]:
    sentinels = max([named, *(one.other_sentinels + 1 for one in knowing if one.other_sentinels is not None)])
    if sentinels < 3:
        yield finding("RD-406", f"{sentinels} known, 3 needed")
    elif named < 3:
        yield finding(
            "RD-406",
            f"the connection string names {named} of {sentinels} sentinels",
            what="The connection string names fewer than three sentinels.",
        )
    replicas = primary.number("connected_slaves") if primary else None
    if replicas is None:
        replicas = max((one.replicas for one in knowing if one.replicas is not None), default=None)
    if replicas is not None and replicas < 2:
        yield finding("RD-407", f"{replicas} connected, 2 needed")
    if primary is not None and "connected_slaves" in primary.info and "min_slaves_good_slaves" not in primary.info:
        yield finding("RD-408", f"INFO replication of {primary.address} has no min_slaves_good_slaves")


def _config_renamed(
    mode: SentinelMode, knowing: Sequence[SentinelFacts], renamed: Sequence[RedisFacts], *, is_primary: bool
) -> Finding:
    """The trap of a CONFIG that is renamed on the servers and not for Sentinel, which then hangs while it promotes."""
    flags = {flag for one in knowing for flag in one.flags.split(",")}
    aborted = next((one for one in renamed if one.info.get("errorstat_EXECABORT")), None)
    rewritten = any(map(_was_rewritten, renamed))
    # Without a primary each failover looks like one that hangs; what is known of the name tells them apart.
    likely = is_primary or not (rewritten or mode.config_name_told)
    severity: Severity | None = Severity.ERROR
    if "failover_in_progress" in flags and likely:
        more = ", and a failover is in progress"
    elif aborted is not None:
        count = aborted.info["errorstat_EXECABORT"]
        more = f", and INFO errorstats of {aborted.address}: errorstat_EXECABORT:{count}"
    elif mode.config_name_told is False:
        more = f", and {mode.sentinel_conf} does not tell the name"
    elif rewritten:
        more, severity = "; a failover has worked since this server started", Severity.NOTE
    elif mode.config_name_told:
        more, severity = f"; {mode.sentinel_conf} here tells the name", Severity.NOTE
    elif not is_primary and "o_down" in flags:
        more = ", and the sentinels hold the primary for down"
    else:
        more, severity = "; whether the sentinels know the new name cannot be asked", None
    return finding("RD-409", f"{renamed[0].address} does not know CONFIG under that name{more}", severity=severity)


def _was_rewritten(primary: RedisFacts) -> bool:
    """Return whether Sentinel has changed this server's role and rewritten its config: only with the right name."""
    stats = primary.info
    rewritten = stats.get("cmdstat_config|rewrite") or stats.get("cmdstat_config", "")
    return rewritten.startswith("calls=") and not rewritten.startswith("calls=0,") and "cmdstat_slaveof" in stats


def _numbers(version: str) -> tuple[int, ...]:
    parts: list[int] = []
    for part in version.split("-", 1)[0].split("."):
        if not part.isdecimal():
            break
        parts.append(int(part))
    return tuple(parts)


def _mib(count: int) -> str:
    return f"{count / MIB:.0f} MB" if count < 10 * 1024 * MIB else f"{count / MIB / 1024:.0f} GB"
