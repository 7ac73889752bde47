"""rppam.config to settings: defaults, every problem at once with its place and fix, and rules between keys."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.consensus.timing import PROFILES
from rppam.config import show
from rppam.config.settings import PRODUCT_SECTIONS, SECTIONS, keys_of
from rppam.db.url import parse_database_url
from rppam.kernel.secret import Secret
from tests.support.parsing import REDIS, only, parse, problems


def test_an_empty_object_gives_the_documented_defaults() -> None:
    settings = parse({})
    assert settings.node.node_name == "default"
    assert settings.node.grpc_port_base == 7001
    assert settings.node.data_dir == Path("/var/lib/rppam")
    assert settings.redis.enabled is False
    assert settings.redis.connection is None
    assert settings.redis.key_prefix == "rppam:"
    assert settings.cluster.cluster_id == "cluster-001"
    assert settings.cluster.timing == PROFILES["default"]
    assert settings.database.url.reveal() == "sqlite:////var/lib/rppam/rppam.db"
    assert settings.auth.jwt_keys_dir == Path("/var/lib/rppam/keys")
    assert settings.auth.secret_key_path == Path("/var/lib/rppam/keys/config.key")
    assert settings.auth.token_minutes == 60
    assert settings.logging.level == "Information"
    assert settings.license.path == Path("/etc/rppam/license.jwt")
    assert settings.license.trusted_keys == ()
    assert (settings.api.host, settings.api.port, settings.api.drain_s) == ("127.0.0.1", 7101, 10)
    assert settings.given == frozenset()
    assert (settings.warnings, settings.notes) == ((), ())


def test_the_articles_samples_are_understood() -> None:
    plain = parse(
        {
            "redis": {
                "enabled": True,
                "connectionString": "10.0.1.20:6379,password=PW,ssl=false,abortConnect=false",
                "keyPrefix": "rppam:",
                "tlsEnabled": False,
            }
        }
    )
    assert plain.redis.connection is not None
    assert plain.redis.connection.password == Secret("PW")
    sentinel = parse({"redis": REDIS | {"connectionString": "10.0.1.20:26379,serviceName=rppam-master,password=PW"}})
    assert sentinel.redis.connection is not None
    assert sentinel.redis.connection.mode == "sentinel"


def test_data_dir_moves_what_is_kept_below_it() -> None:
    settings = parse({"node": {"dataDir": "data"}}, Path("/srv/node1"))
    assert settings.node.data_dir == Path("/srv/node1/data")
    assert settings.database.url.reveal() == "sqlite:////srv/node1/data/rppam.db"
    assert settings.auth.cluster_key_path == Path("/srv/node1/data/keys/cluster.key")


WRONG_VALUES = [
    ("node", "nodeName", "Node1", '"Node1"', "lower-case"),
    ("node", "nodeName", "-a", '"-a"', "lower-case"),
    ("node", "nodeName", "a" * 64, "aaa", "lower-case"),
    ("node", "nodeName", "a\n", "U+000A", "lower-case"),
    ("node", "nodeName", "", "an empty text", "lower-case"),
    ("node", "nodeName", 5, "5", "lower-case"),
    ("node", "nodeName", None, "null", "default"),
    ("node", "grpcPortBase", 65_530, "65530", "65524"),
    ("node", "grpcPortBase", 7001.5, "7001.5", "digits"),
    ("node", "dataDir", "C:\\x", "a Windows path", "/var/lib"),
    ("node", "dataDir", "~/x", "'~'", "Write the folder out"),
    ("node", "advertiseUrl", "node1:7101", '"node1:7101"', "https://"),
    ("node", "advertiseUrl", "https://u:HUSH@h", "not shown", "https://"),
    ("node", "advertiseUrl", "https://h/x", '"https://h/x"', "https://"),
    ("node", "advertiseUrl", "https://h:99999", '"https://h:99999"', "https://"),
    ("redis", "enabled", "true", '"true"', "Take the quotes away"),
    ("redis", "enabled", 1, "1", "true or false"),
    ("redis", "keyPrefix", "", "an empty text", "rppam-prod:"),
    ("redis", "keyPrefix", "rppam", '"rppam"', "rppam-prod:"),
    ("redis", "keyPrefix", ":", '":"', "rppam-prod:"),
    ("redis", "keyPrefix", "a*:", '"a*:"', "rppam-prod:"),
    ("redis", "keyPrefix", "a b:", '"a b:"', "rppam-prod:"),
    ("redis", "keyPrefix", "a::", '"a::"', "rppam-prod:"),
    ("redis", "keyPrefix", "{a}:", '"{a}:"', "rppam-prod:"),
    ("redis", "password", 5, "a number", "Write a text"),
    ("redis", "password", "", "an empty text", "take the key out"),
    ("redis", "password", {"vault": "HUSH"}, "other keys", "Write"),
    ("redis", "password", {"file": 5}, "a number", "Write"),
    ("redis", "connectionString", "h:0,password=HUSH", "port '0'", "1 to 65535"),
    ("redis", "connectionString", ["HUSH"], "a list", "Write a text"),
    ("cluster", "timingProfile", "lann", '"lann"', "Did you mean 'lan'?"),
    ("cluster", "leaseMs", 1000, "unsafe", "timingProfile"),
    ("cluster", "leaseMs", "4s", '"4s"', "digits"),
    ("cluster", "clockRateErrorPercent", 11, "11", "0 to 10"),
    ("database", "url", "mysql://u:HUSH@h/d", "mysql://", "PostgreSQL"),
    ("database", "url", "postgresql://u:HUSH@", "not shown", "postgresql://"),
    ("database", "url", "postgresql://u:HU/HUSH@h/d", "not shown", "postgresql://"),
    ("database", "url", "sqlite://", "without a file", "sqlite:///"),
    ("database", "url", "sqlite:///:memory:", "without a file", "sqlite:///"),
    ("database", "url", "sqlite:///x.db?timeout=HUSH", "with options", "database.timeoutMs"),
    ("database", "url", "postgresql:///rppam", "not shown", "postgresql://"),
    ("database", "url", "postgresql:///rppam?user=HUSH", "not shown", "postgresql://"),
    ("database", "url", "postgresql:///?host=/run/postgresql", "not shown", "postgresql://"),
    ("database", "url", "HUSH", "no URL", "postgresql://"),
    ("auth", "tokenMinutes", 0, "0", "1 to 1440"),
    ("auth", "issuer", "", "an empty text", "text in quotes"),
    ("logging", "level", "Warn", '"Warn"', "Did you mean 'Warning'?"),
    ("logging", "format", "xml", '"xml"', "human, json"),
    ("license", "trustedKeys", "k", '"k"', "a list"),
    ("license", "trustedKeys", [5], "5", "a list"),
    ("api", "port", "7101", '"7101"', "Take the quotes away"),
    ("api", "port", "99999", '"99999"', "Write a number from 1 to 65535, without quotes"),
    ("api", "port", 0, "0", "1 to 65535"),
    ("api", "port", True, "true", "digits"),
    ("api", "host", "0.0.0.0:80", '"0.0.0.0:80"', "without a port"),
    ("api", "drainSeconds", 11, "11", "0 to 10"),
    ("api", "trustedProxies", "10.0.0.1", '"10.0.0.1"', "a list such as"),
    ("api", "trustedProxies", ["10.0.0.1/8"], '"10.0.0.1/8"', "behind the prefix to 0"),
    ("api", "trustedProxies", ["proxy1"], '"proxy1"', "a list such as"),
    ("api", "trustedProxies", [""], "an empty text", "a list such as"),
    ("access", "sourceAddresses", ["10.0.0.0/24"], '"10.0.0.0/24"', "at most one IPv4"),
    ("access", "sourceAddresses", ["10.0.0.1", "10.0.0.2"], "several of one version of IP", "at most one IPv4"),
    ("access", "sourceAddresses", ["host"], '"host"', "at most one IPv4"),
]


@pytest.mark.parametrize(("section", "key", "value", "found", "fix"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_its_place_and_fix(
    section: str, key: str, value: object, found: str, fix: str
) -> None:
    problem = only({section: {key: value}})
    assert problem.path.startswith((f"{section}.{key}", "cluster (timing)"))
    assert found in problem.found
    assert fix in problem.fix
    assert problem.expected
    assert "HUSH" not in problem.sentence()


def test_every_key_refuses_a_value_of_another_type() -> None:
    for section, made in SECTIONS.items():
        for key in keys_of(made).values():
            found = only({section: {key.name: [{"a": 1}]}})
            assert found.path == f"{section}.{key.name}"


@pytest.mark.parametrize(
    ("tree", "path", "fix"),
    [
        ({"redsi": {}}, "redsi", "'redis'"),
        ({"Redis": {}}, "Redis", "'redis'"),
        ({"database_sync": {}}, "database_sync", "'databaseSync'"),
        ({"nodeName": "a"}, "nodeName", "node.nodeName"),
        ({"flibble": 1}, "flibble", "Take it out"),
        ({"node": {"nodename": "a"}}, "node.nodename", "node.nodeName"),
        ({"node": {"keyPrefix": "a:"}}, "node.keyPrefix", "redis.keyPrefix"),
        ({"api": {"x" * 99: 1}}, 'api."xxx', "Take it out"),
        ({"api": {"\n": 1}}, 'api."\\n"', "Take it out"),
        ({"": 1}, '""', "Take it out"),
        ({"node": []}, "node", '"node": {'),
        ({"node": None}, "node", '"node": {'),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(tree: Any, path: str, fix: str) -> None:
    problem = only(tree)
    assert problem.path.startswith(path)
    assert fix in problem.fix


def test_the_products_other_sections_are_accepted_with_a_note() -> None:
    settings = parse({name: {"anything": [1, None]} for name in PRODUCT_SECTIONS})
    assert [note.partition(":")[0] for note in settings.notes] == list(PRODUCT_SECTIONS)


def test_all_problems_come_together() -> None:
    tree = {
        "node": {"nodeName": "A", "x": 1},
        "redis": {"connectionString": "h:0,ssl=maybe", "keyPrefix": "x"},
        "cluster": {"enabled": True},
        "api": {"port": 0},
        "redsi": {},
    }
    paths = {problem.path for problem in problems(tree)}
    assert paths == {
        "node.nodeName", "node.x", "redis.connectionString (part 1)", "redis.connectionString (ssl)", "redis.keyPrefix",
        "cluster.enabled", "api.port", "redsi",
    }  # fmt: skip


def test_one_mistake_is_told_once() -> None:
    wrong: tuple[object, ...] = ({"enabled": "yes"}, [], None)
    for redis in wrong:
        told = problems({"redis": redis, "cluster": {"enabled": True}})
        assert [problem.path.split(".")[0] for problem in told] == ["redis"], told


RULES = [
    ({"cluster": {"enabled": True}}, "cluster.enabled", "Redis is required"),
    ({"redis": {"enabled": True}}, "redis.connectionString", "Add it"),
    (
        {"redis": REDIS | {"tlsEnabled": True, "connectionString": "h,ssl=false"}},
        "redis.connectionString (ssl)",
        "both",
    ),
    (
        {"redis": REDIS | {"tlsEnabled": False, "connectionString": "rediss://h"}},
        "redis.connectionString (ssl)",
        "both",
    ),
    ({"redis": REDIS | {"password": "HUSH1", "connectionString": "h,password=HUSH2"}}, "redis.password", "one of them"),
    (
        {"redis": REDIS | {"connectionString": "h,password=ab,HUSH"}},
        "redis.connectionString (part 3)",
        "redis.password",
    ),
]


@pytest.mark.parametrize(("tree", "path", "fix"), RULES)
def test_contradictions_between_keys_are_errors(tree: Any, path: str, fix: str) -> None:
    problem = only(tree)
    assert problem.path == path
    assert fix in problem.fix
    assert "HUSH" not in problem.sentence()


def test_a_separate_password_may_hold_a_comma_and_may_repeat_the_one_in_the_string() -> None:
    separate = parse({"redis": REDIS | {"password": "a,b"}})
    assert separate.redis.connection is not None
    assert separate.redis.connection.password == Secret("a,b")
    assert parse({"redis": REDIS | {"password": "p", "connectionString": "h,password=p"}}).redis.password == Secret("p")


def test_tls_enabled_alone_turns_tls_on_and_moves_the_port() -> None:
    settings = parse({"redis": REDIS | {"connectionString": "h", "tlsEnabled": True}})
    assert settings.redis.connection is not None
    assert [str(endpoint) for endpoint in settings.redis.connection.endpoints] == ["h:6380"]
    assert parse({"redis": REDIS | {"connectionString": "h,ssl=true"}}).redis.tls_enabled


def test_times_start_from_the_profile_and_are_overridden_one_by_one() -> None:
    timing = parse({"cluster": {"timingProfile": "LAN", "leaseMs": 1_200, "clockRateErrorPercent": 0.5}}).cluster.timing
    assert timing == PROFILES["lan"]._replace(lease_ms=1_200, rate_error_ppm=5_000)


def test_times_that_leave_no_margin_between_two_leaders_are_refused() -> None:
    problem = only({"cluster": {"clockRateErrorPercent": 0, "stepDownMs": 0}})
    assert problem.path == "cluster (timing)"
    assert "Raise clockRateErrorPercent or stepDownMs" in problem.found
    for margin in ({"clockRateErrorPercent": 0}, {"stepDownMs": 0}):
        timing = parse({"cluster": margin}).cluster.timing
        assert timing.promise_ms < timing.lease_ms


def test_database_urls_are_normalised() -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        url = parse({"database": {"url": f"{scheme}://u:p%40@db:5432/rppam?sslmode=require"}}).database.url
        assert url.reveal() == "postgresql+psycopg://u:p%40@db:5432/rppam?sslmode=require"
    for query in ("host=/run/postgresql", "service=pam", "sslmode=disable&host=db"):
        url = parse({"database": {"url": f"postgresql:///rppam?{query}"}}).database.url
        assert url.reveal() == f"postgresql+psycopg:///rppam?{query}"
        assert parse_database_url(url).database == "rppam", "who opens it takes it, too"
    url = parse({"database": {"url": "sqlite:///data/x.db"}}, Path("/srv")).database.url
    assert url.reveal() == "sqlite:////srv/data/x.db"


def test_trusted_keys_are_files_or_keys() -> None:
    raw = base64.b64encode(bytes(range(32))).decode()
    spki = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + bytes(range(32))).decode()
    pem = f"-----BEGIN PUBLIC KEY-----\n{spki}\n-----END PUBLIC KEY-----"
    keys = parse({"license": {"trustedKeys": [raw, spki, "vendor.pem", "/a/b.pem"]}}).license.trusted_keys
    assert keys == (spki, spki, Path("/etc/rppam/vendor.pem"), Path("/a/b.pem"))
    assert only({"license": {"trustedKeys": [pem]}}).found.startswith("the character U+000A")


# How long Redis is waited for


@pytest.mark.parametrize(
    ("string", "cluster", "told"),
    [
        ("h", {}, []),
        ("h,connectTimeout=2000,syncTimeout=500", {}, []),
        ("h,connectTimeout=2001", {}, ["connectTimeout=2001", "2000 ms for leadership", "2000 ms for the cache"]),
        ("h,syncTimeout=501", {}, ["syncTimeout=501", "1000 ms for leadership", "500 ms for the cache"]),
        ("h,connectTimeout=1900", {"timingProfile": "lan"}, ["connectTimeout=1900", "1000 ms for leadership"]),
        ("h,connectTimeout=5000", {"timingProfile": "classic"}, ["15000 ms for leadership", "2000 ms for the cache"]),
    ],
)
def test_a_time_that_is_longer_than_any_wait_of_a_node_is_noted(
    string: str, cluster: dict[str, object], told: list[str]
) -> None:
    settings = parse({"redis": {"enabled": True, "connectionString": string}, "cluster": cluster})
    assert len(settings.notes) == bool(told)
    assert all(word in settings.notes[0] for word in told)


# What is shown


def test_show_marks_what_is_set_and_hides_secrets() -> None:
    settings = parse(
        {
            "redis": REDIS | {"connectionString": "h,password=HUSH,user=u", "tlsCertPassword": "HUSH"},
            "database": {"url": "postgresql://u:HUSH@h/d?password=HUSH"},
        }
    )
    tree = show.as_json(settings)
    assert "HUSH" not in json.dumps(tree) + repr(settings)
    assert tree["redis"]["connectionString"] == {"value": "h:6379,user=u,password=********", "origin": "set"}
    assert tree["database"]["url"]["value"] == "postgresql+psycopg://u:********@h/d?********"
    assert tree["redis"]["keyPrefix"] == {"value": "rppam:", "origin": "default"}
    assert tree["cluster"]["leaseMs"] == {"value": 4000, "origin": "default"}
    assert {name: set(keys) for name, keys in tree.items()} == {
        name: {key.name for key in keys_of(made).values()} for name, made in SECTIONS.items()
    }


def test_every_documented_default_is_the_real_one() -> None:
    tree = show.as_json(parse({}))
    for section, made in SECTIONS.items():
        for key in keys_of(made).values():
            if isinstance(key.default, str | int | bool):
                assert tree[section][key.name]["value"] == key.default
                assert parse({section: {key.name: key.default}}).given == {f"{section}.{key.name}"}
