"""Facts in, findings out: each requirement at its edge, and silence where all is well."""

from dataclasses import replace
from typing import Any

import pytest

from rppam.catalogue.redis import AT_SENTINELS
from rppam.catalogue.table import ROWS
from rppam.doctor.redis_facts import DANGEROUS, PrefixFacts, RedisFacts, SentinelFacts, SentinelMode
from rppam.doctor.redis_requirements import (
    UNREACHED,
    prefix_findings,
    reachable_commands,
    sentinel_findings,
    server_findings,
)
from rppam.kernel.finding import Severity, Verdict, verdict_of

MIB = 1024 * 1024
GOOD = RedisFacts(
    address="10.0.1.20:6379",
    version="7.4.6",
    redis_version="7.4.6",
    info={
        "aof_enabled": "1",
        "aof_last_write_status": "ok",
        "rdb_last_bgsave_status": "ok",
        "maxmemory": str(1024 * MIB),
        "maxmemory_policy": "noeviction",
        "used_memory": str(10 * MIB),
        "connected_slaves": "2",
        "min_slaves_good_slaves": "2",
    },
    user="rppam",
    password_chars=48,
    anonymous=False,
    commands=dict.fromkeys(DANGEROUS, True),
    runnable=dict.fromkeys(DANGEROUS, False),
    round_trips_us=(200, 300, 400),
    clock_difference_ms=3,
)


def with_info(**changed: str) -> RedisFacts:
    return replace(GOOD, info={**GOOD.info, **changed})


def codes(facts: RedisFacts) -> list[str]:
    return [finding.code for finding in server_findings(facts, patience_ms=1_000)]


def test_a_server_as_it_should_be_gives_no_finding() -> None:
    assert server_findings(GOOD, patience_ms=1_000) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (replace(GOOD, version="6.0.16", redis_version="6.0.16"), ["RD-301"]),
        (replace(GOOD, version="6.2.20", redis_version="6.2.20"), ["RD-315"]),
        (replace(GOOD, version="7.0.15", redis_version="7.0.15"), ["RD-302"]),
        (replace(GOOD, version="7.4.5", redis_version="7.4.5"), ["RD-302"]),
        (replace(GOOD, server="valkey", version="8.1.3", redis_version="7.2.4"), ["RD-302"]),
        (replace(GOOD, server="valkey", version="8.1.7", redis_version="7.2.4"), []),
        (replace(GOOD, anonymous=True), ["RD-310"]),
        (replace(GOOD, password_chars=31), ["RD-311"]),
        (replace(GOOD, password_chars=32), []),
        (with_info(aof_enabled="0"), ["RD-303"]),
        (with_info(aof_last_write_status="err"), ["RD-304"]),
        (with_info(rdb_last_bgsave_status="err"), ["RD-304"]),
        (with_info(maxmemory="0"), ["RD-309"]),
        (with_info(maxmemory="0", total_system_memory=str(200 * MIB)), ["RD-309", "RD-305"]),
        (with_info(maxmemory=str(256 * MIB - 1)), ["RD-305"]),
        (with_info(maxmemory=str(256 * MIB)), ["RD-306"]),
        (with_info(maxmemory_policy="allkeys-lru"), ["RD-307"]),
        (with_info(used_memory=str(820 * MIB)), ["RD-308"]),
        (with_info(used_memory=str(819 * MIB)), []),
        (
            with_info(maxmemory="0", used_memory=str(3280 * MIB), total_system_memory=str(4096 * MIB)),
            ["RD-309", "RD-308"],
        ),
        (with_info(maxmemory="0", used_memory=str(3270 * MIB), total_system_memory=str(4096 * MIB)), ["RD-309"]),
        (with_info(maxmemory="0", used_memory=str(3280 * MIB)), ["RD-309"]),
        (replace(GOOD, clock_difference_ms=-1_500), ["RD-313"]),
        (replace(GOOD, clock_difference_ms=1_500, clock_error_ms=600), []),
        (replace(GOOD, round_trips_us=(200, 300, 600_000)), ["RD-314"]),
        (replace(GOOD, round_trips_us=(200_000, 200_000, 200_000)), ["RD-314"]),
        (replace(GOOD, refused=(("EVAL", "NOPERM this user has no permissions"),)), ["RD-203"]),
        (replace(GOOD, refused=(("SET", "The user executing the script can't run this command"),)), ["RD-203"]),
        (replace(GOOD, refused=(("EVAL", "ERR unknown command"),)), ["RD-215"]),
        (replace(GOOD, write_refusal="MISCONF ...", write_code="RD-206"), ["RD-206"]),
        (replace(GOOD, certificate_days_left=29.0, certificate_shown="for redis"), ["RD-128"]),
        (replace(GOOD, certificate_days_left=31.0), []),
        (replace(GOOD, info={}), ["RD-316"]),
        (replace(GOOD, commands=None), ["RD-316"]),
        (replace(GOOD, runnable=None), ["RD-316"]),
        (replace(GOOD, runnable=None, rules="-@all +get"), []),
        (replace(GOOD, user="default"), ["RD-317"]),
        (replace(GOOD, user="default", anonymous=True), ["RD-310"]),
    ],
)
def test_each_requirement_at_its_edge(facts: RedisFacts, expected: list[str]) -> None:
    assert codes(facts) == expected


def test_an_evicting_policy_without_a_limit_is_only_a_warning() -> None:
    found = server_findings(with_info(maxmemory="0", maxmemory_policy="allkeys-lru"), patience_ms=1_000)
    assert [(one.code, one.severity) for one in found] == [
        ("RD-309", Severity.NOTE),
        ("RD-307", Severity.WARNING),
    ]


def test_without_a_limit_the_memory_of_the_host_is_the_limit() -> None:
    info = {"maxmemory": "0", "used_memory": str(3891 * MIB), "total_system_memory": str(4096 * MIB)}
    found = server_findings(with_info(**info), patience_ms=1_000)[-1]
    assert (found.code, found.severity) == ("RD-308", Severity.WARNING)
    assert "of its host" in found.what
    assert "of total_system_memory:4294967296 (94 %)" in found.evidence
    assert found.advice.startswith("Nothing stops it before the host does")


def test_the_version_of_the_product_is_named_beside_the_one_it_is_compatible_with() -> None:
    (found,) = server_findings(
        replace(GOOD, server="valkey", version="8.1.1", redis_version="7.2.4"), patience_ms=1_000
    )
    assert found.evidence.startswith("valkey 8.1.1 at 10.0.1.20:6379, compatible with Redis 7.2.4: CVE-2025-49844")


@pytest.mark.parametrize(
    ("rules", "reachable"),
    [
        ("+@all", set(DANGEROUS)),
        ("allcommands", set(DANGEROUS)),
        ("-@all +get +set", set()),
        ("+@all -@dangerous", set()),
        ("+@all -@admin -flushall -flushdb -keys", set()),
        ("+@all -@dangerous +config|get", {"CONFIG"}),
        ("-@all +acl|whoami +config|rewrite", set()),
        ("+@all -flushall -config|set", set(DANGEROUS) - {"FLUSHALL"}),
        ("-@all +@keyspace", {"FLUSHALL", "FLUSHDB", "KEYS"}),
        ("+flushall nocommands", set()),
    ],
)
def test_the_rules_of_an_older_server_tell_what_may_run(rules: str, reachable: set[str]) -> None:
    facts = replace(GOOD, runnable=None, rules=rules)
    assert set(reachable_commands(facts)) == reachable


def test_what_a_server_does_not_know_cannot_be_reached() -> None:
    renamed = {**dict.fromkeys(DANGEROUS, True), "CONFIG": False, "FLUSHALL": False}
    facts = replace(GOOD, commands=renamed, runnable=None, rules="+@all")
    assert "CONFIG" not in reachable_commands(facts)
    assert "FLUSHDB" in reachable_commands(facts)


def test_the_articles_four_commands_warn_and_the_others_are_noted() -> None:
    four = dict.fromkeys(("FLUSHALL", "FLUSHDB", "CONFIG", "DEBUG"), False)
    (noted,) = server_findings(
        replace(GOOD, commands={**dict.fromkeys(DANGEROUS, True), **four}, runnable=dict.fromkeys(DANGEROUS, True)),
        patience_ms=1_000,
    )
    assert (noted.code, noted.severity) == ("RD-312", Severity.NOTE)
    (warned,) = server_findings(replace(GOOD, runnable=dict.fromkeys(DANGEROUS, True)), patience_ms=1_000)
    assert (warned.code, warned.severity) == ("RD-312", Severity.WARNING)
    assert "FLUSHALL" in warned.evidence
    assert "none was run" in warned.evidence


# --- the prefix --------------------------------------------------------------------------------------------------


OURS = PrefixFacts(prefix="rppam:", cluster_id="prod")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (OURS, []),
        (replace(OURS, found_id="prod"), []),
        (replace(OURS, found_id="staging"), ["RD-501"]),
        (replace(OURS, foreign="WRONGTYPE Operation against a key"), ["RD-217"]),
        (replace(OURS, outer=(("a:", "x"),)), ["RD-502"]),
        (replace(OURS, inner=("rppam:b:",)), ["RD-502"]),
        (replace(OURS, searched_all=False), ["RD-503"]),
        (replace(OURS, searched_all=False, not_searched="NOPERM no scan"), ["RD-503"]),
    ],
)
def test_a_prefix_belongs_to_one_cluster(facts: PrefixFacts, expected: list[str]) -> None:
    assert [finding.code for finding in prefix_findings(facts)] == expected


def test_a_search_that_is_refused_is_not_told_as_one_that_was_too_long() -> None:
    (found,) = prefix_findings(replace(OURS, searched_all=False, not_searched="NOPERM no scan"))
    assert "so many keys" not in found.what
    assert "NOPERM no scan" in found.evidence


# --- Sentinel ----------------------------------------------------------------------------------------------------

KNOWING = tuple(
    SentinelFacts(
        address=f"10.0.1.2{number}:26379",
        primary="10.0.1.20:6379",
        replicas=2,
        other_sentinels=2,
        flags="master",
        quorum_check="OK 3 usable Sentinels",
    )
    for number in range(3)
)
MODE = SentinelMode(service_name="rppam-master", sentinels=KNOWING)
RENAMED = replace(GOOD, commands={**dict.fromkeys(DANGEROUS, True), "CONFIG": False})


def among(mode: SentinelMode, primary: RedisFacts | None = GOOD) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity.value) for finding in sentinel_findings(mode, primary)]


def changed(number: int, **facts: Any) -> SentinelMode:
    sentinels = list(KNOWING)
    sentinels[number] = replace(sentinels[number], **facts)
    return replace(MODE, sentinels=tuple(sentinels))


def test_a_sentinel_group_as_it_should_be_gives_no_finding() -> None:
    assert among(MODE) == []


@pytest.mark.parametrize(
    ("mode", "primary", "expected"),
    [
        (changed(0, failure="refused", primary=None), GOOD, [("RD-403", "warning")]),
        (changed(1, primary="10.0.1.99:6379"), GOOD, [("RD-404", "error")]),
        (changed(1, primary=None, known_services=("mymaster",)), GOOD, [("RD-401", "warning")]),
        (replace(MODE, sentinels=KNOWING[:2]), GOOD, [("RD-406", "warning")]),
        (MODE, replace(GOOD, info={**GOOD.info, "connected_slaves": "1"}), [("RD-407", "warning")]),
        (
            MODE,
            replace(GOOD, info={key: value for key, value in GOOD.info.items() if key != "min_slaves_good_slaves"}),
            [("RD-408", "warning")],
        ),
        (changed(2, quorum_check="NOQUORUM 1 usable Sentinels"), GOOD, [("RD-410", "error")]),
        (changed(2, flags="s_down,master"), GOOD, [("RD-411", "warning")]),
        (MODE, RENAMED, [("RD-409", "warning")]),
        (replace(MODE, config_name_told=True, sentinel_conf="s.conf"), RENAMED, [("RD-409", "note")]),
        (replace(MODE, config_name_told=False, sentinel_conf="s.conf"), RENAMED, [("RD-409", "error")]),
        (
            MODE,
            replace(
                RENAMED,
                info={
                    **GOOD.info,
                    "cmdstat_config|rewrite": "calls=1,usec=9,rejected_calls=0,failed_calls=0",
                    "cmdstat_slaveof": "calls=1,usec=9",
                },
            ),
            [("RD-409", "note")],
        ),
        (
            MODE,
            replace(
                RENAMED, info={**GOOD.info, "cmdstat_config|rewrite": "calls=0,usec=0", "cmdstat_slaveof": "calls=1"}
            ),
            [("RD-409", "warning")],
        ),
        (changed(0, flags="master,failover_in_progress"), RENAMED, [("RD-411", "warning"), ("RD-409", "error")]),
        (
            MODE,
            replace(RENAMED, info={**GOOD.info, "errorstat_EXECABORT": "count=2"}),
            [("RD-409", "error")],
        ),
    ],
)
def test_each_sentinel_requirement(mode: SentinelMode, primary: RedisFacts, expected: list[tuple[str, str]]) -> None:
    assert among(mode, primary) == expected


DOWN = tuple(replace(one, flags="s_down,o_down,master") for one in KNOWING)
CHANGING = replace(MODE, sentinels=(*DOWN[:2], replace(DOWN[2], flags="s_down,o_down,master,failover_in_progress")))
REWRITTEN = {"cmdstat_config|rewrite": "calls=1,usec=9", "cmdstat_slaveof": "calls=1,usec=9"}


@pytest.mark.parametrize(
    ("mode", "replica", "expected"),
    [
        (CHANGING, RENAMED, "error"),
        (replace(MODE, sentinels=DOWN), RENAMED, "error"),
        (replace(CHANGING, config_name_told=False, sentinel_conf="s.conf"), RENAMED, "error"),
        (replace(CHANGING, config_name_told=True, sentinel_conf="s.conf"), RENAMED, "note"),
        (
            replace(CHANGING, config_name_told=True, sentinel_conf="s.conf"),
            replace(RENAMED, info={"errorstat_EXECABORT": "count=1"}),
            "error",
        ),
        (CHANGING, replace(RENAMED, info=REWRITTEN), "note"),
        (CHANGING, GOOD, ""),
        (CHANGING, replace(GOOD, commands=None), ""),
    ],
)
def test_without_a_primary_the_replicas_tell_whether_config_is_renamed(
    mode: SentinelMode, replica: RedisFacts, expected: str
) -> None:
    found = {finding.code: finding.severity.value for finding in sentinel_findings(mode, None, [replica])}
    assert found["RD-411"] == "warning"
    assert found.get("RD-409", "") == expected


def test_an_unknown_service_names_what_the_sentinels_do_know() -> None:
    lost = tuple(replace(one, primary=None, known_services=("mymaster", "cache")) for one in KNOWING)
    (found,) = sentinel_findings(replace(MODE, sentinels=lost), None)
    assert (found.code, found.severity) == ("RD-401", Severity.ERROR)
    assert "they know cache, mymaster" in found.evidence
    assert "'rppam-master'" in found.evidence


def test_sentinels_that_cannot_be_asked_are_each_named_with_the_reason() -> None:
    lost = tuple(replace(one, failure="refused", primary=None) for one in KNOWING)
    (found,) = sentinel_findings(replace(MODE, sentinels=lost), None)
    assert found.code == "RD-402"
    assert all(one.address in found.evidence for one in KNOWING)


@pytest.mark.parametrize(
    ("cause", "advice"),
    [
        ("", "Start the sentinels"),
        ("RD-101", "Start the sentinels"),
        ("RD-102", "Start the sentinels"),
        ("RD-103", "Correct the name"),
        ("RD-108", "With serviceName the connection string names sentinels"),
        ("RD-122", "Set redis.tlsCaPath"),
        ("RD-124", "Set redis.tlsEnabled true"),
        ("RD-201", "Set redis.sentinelPassword"),
        ("RD-202", "Set redis.sentinelPassword"),
        ("RD-203", "Give the user of sentinelUser"),
    ],
)
def test_what_helps_against_the_failure_at_the_sentinels_is_the_fix(cause: str, advice: str) -> None:
    lost = tuple(replace(one, failure="why", failure_code=cause, primary=None) for one in KNOWING)
    (found,) = sentinel_findings(replace(MODE, sentinels=lost), None)
    assert found.code == "RD-402"
    assert found.advice.startswith(advice)
    (one,) = sentinel_findings(changed(0, failure="why", failure_code=cause, primary=None), GOOD)
    assert one.code == "RD-403"
    assert one.advice.startswith(advice.replace("the sentinels", "that sentinel") if "Start" in advice else advice)


def test_sentinels_that_fail_for_different_causes_are_told_apart() -> None:
    lost = [replace(one, failure=f"why {number}", primary=None) for number, one in enumerate(KNOWING)]
    lost[1] = replace(lost[1], failure_code="RD-202")
    started, opened = sentinel_findings(replace(MODE, sentinels=tuple(lost)), None)
    assert (started.code, opened.code) == ("RD-402", "RD-402")
    assert "why 0" in started.evidence
    assert "why 2" in started.evidence
    assert "why 1" not in started.evidence
    assert opened.evidence.endswith("why 1")
    assert opened.advice.startswith("Set redis.sentinelPassword")


def test_every_failure_at_a_sentinel_is_one_of_the_table() -> None:
    assert {*UNREACHED, *AT_SENTINELS} <= set(ROWS)
    assert all(all(fix) for fix in AT_SENTINELS.values()), "each names all four platforms"


# --- the table ---------------------------------------------------------------------------------------------------


def test_the_table_is_whole() -> None:
    for code, row in ROWS.items():
        assert code == row.code
        assert row.what.endswith("."), code
        assert row.fix.common.endswith("."), code
        assert "\n" not in "".join(row.fix), code
        assert row.symptom, code


def test_every_fix_about_redis_names_all_four_platforms() -> None:
    alone = {"RD-316"}
    short = [code for code, row in ROWS.items() if code < "RD-600" and code not in alone and not all(row.fix)]
    assert short == []


def test_no_fix_puts_a_password_on_a_command_line() -> None:
    assert [code for code, row in ROWS.items() if "redis-cli -a" in row.fix.text()] == []


def test_the_verdict_is_the_worst_finding() -> None:
    (warning,) = server_findings(replace(GOOD, password_chars=5), patience_ms=1_000)
    (error,) = server_findings(with_info(aof_enabled="0"), patience_ms=1_000)
    (note,) = server_findings(replace(GOOD, version="6.2.20", redis_version="6.2.20"), patience_ms=1_000)
    assert verdict_of([]) == verdict_of([note]) == Verdict.OK
    assert verdict_of([note, warning]) == Verdict.WARNINGS
    assert verdict_of([error, warning]) == Verdict.ERRORS
    assert [int(verdict.exit) for verdict in Verdict] == [0, 1, 2]
