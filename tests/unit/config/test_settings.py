"""rppam.config to settings: defaults, every problem at once with its place and fix, and rules between keys."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rppam.adapters.sql.url import parse_database_url
from rppam.adapters.system.secrets import HostSecrets, create_key, encrypt, read_key
from rppam.config import reference, show
from rppam.config.load import load_settings, parse_settings
from rppam.config.places import LINUX, WINDOWS, config_path
from rppam.config.settings import PRODUCT_SECTIONS, SECTIONS, Settings, keys_of
from rppam.domain.errors.config import ConfigError, ConfigFileError, ConfigValueError, Problem
from rppam.domain.secret import Secret
from rppam.domain.timing import PROFILES

ROOT = Path(__file__).parents[3]
REDIS = {"enabled": True, "connectionString": "10.0.1.20:6379,abortConnect=false"}


def parse(tree: Any, folder: Path = Path("/etc/rppam")) -> Settings:
    text = tree if isinstance(tree, str | bytes) else json.dumps(tree)
    return parse_settings(text, outside=HostSecrets(), folder=folder, places=LINUX)


def problems(tree: Any, folder: Path = Path("/etc/rppam")) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(tree, folder)
    assert caught.value.row.exit == 78
    return caught.value.problems


def only(tree: Any, folder: Path = Path("/etc/rppam")) -> Problem:
    found = problems(tree, folder)
    assert len(found) == 1, found
    return found[0]


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
    ("api", "port", 0, "0", "1 to 65535"),
    ("api", "port", True, "true", "digits"),
    ("api", "host", "0.0.0.0:80", '"0.0.0.0:80"', "without a port"),
    ("api", "drainSeconds", 11, "11", "0 to 10"),
    ("api", "trustedProxies", "10.0.0.1", '"10.0.0.1"', "a list such as"),
    ("api", "trustedProxies", ["10.0.0.1/8"], '"10.0.0.1/8"', "behind the prefix to 0"),
    ("api", "trustedProxies", ["proxy1"], '"proxy1"', "a list such as"),
    ("api", "trustedProxies", [""], "an empty text", "a list such as"),
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
    for redis in ({"enabled": "yes"}, [], None):
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


# The text itself

WRONG_TEXTS = [
    (b"", "an empty file"),
    (b" \n", "an empty file"),
    (b"\xef\xbb\xbf", "an empty file"),
    (b"[]", "a list"),
    (b'"HUSH"', "a text of 4 characters"),
    (b"null", "null"),
    (b'{\n  "node": {},\n  "redis" {}\n}', "line 3, column 11"),
    (b'{"a": 1,}', "line 1, column"),
    (b"{} {}", "Extra data at line 1, column 4"),
    (b'{"redis": {"password": "HUSH}}', "line 1, column 24"),
    (b'// x\n{"a": "HUSH"}', "line 1, column 1"),
    (b'{"a": NaN}', "NaN"),
    (b'{"a": ' + b"9" * 5000 + b"}", "a number"),
    (b"\xff\xfe{\x00}\x00", "UTF-16"),
    (b'{\n"a": "\xff"}', "line 2"),
    (b'{"a":' * 100_000, "nested too deep"),
    (b" " * (1024 * 1024 + 1), "more than that"),
]


@pytest.mark.parametrize(("data", "found"), WRONG_TEXTS)
def test_what_is_not_one_json_object_is_refused_with_line_and_column(data: bytes, found: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        parse(data)
    assert found in str(caught.value)
    assert "HUSH" not in str(caught.value)


def test_a_key_written_twice_is_an_error_wherever_it_stands() -> None:
    found = problems(b'{"node": {"nodeName": "a", "nodeName": "b"}, "node": {}, "lvs": [{"x": 1, "x": 1}]}')
    assert [problem.path for problem in found] == ["node", "lvs[0].x"]


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf{"node": {"nodeName": "n1"}}').node.node_name == "n1"


def test_half_a_character_is_an_error() -> None:
    assert only(b'{"redis": {"password": "HUSH\\ud800"}}').path == "redis.password"


def test_what_the_text_has_is_told_together_with_everything_else() -> None:
    found = problems(
        b'{"node": {"nodeName": "A", "nodeName": "B"}, "redis": {"keyPrefix": "\\ud800"}, "api": {"port": 0},'
        b' "redsi": {}}'
    )
    assert sorted(problem.path for problem in found) == [
        "api.port", "node.nodeName", "node.nodeName", "redis.keyPrefix", "redsi",
    ]  # fmt: skip
    assert {problem.expected for problem in found if problem.path == "redis.keyPrefix"} == {"Unicode text"}


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


# Secrets


def test_the_password_of_the_sentinels_may_stand_beside_the_string() -> None:
    string = "s1,serviceName=m,password=p"
    settings = parse({"redis": {"connectionString": string, "sentinelPassword": "a,b"}})
    assert settings.redis.connection is not None
    assert settings.redis.connection.sentinel_password == Secret("a,b")
    assert settings.redis.connection.password == Secret("p")
    assert settings.warnings == ()
    twice = {"redis": {"connectionString": string + ",sentinelPassword=x", "sentinelPassword": "HUSH"}}
    assert only(twice).path == "redis.sentinelPassword"
    assert "HUSH" not in str(only(twice))
    alone = parse({"redis": {"connectionString": "h", "sentinelPassword": "x"}})
    assert ["serviceName" in warning for warning in alone.warnings] == [True]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "config.key"
    create_key(path)
    return path


def with_key(key_file: Path, **redis: object) -> dict[str, object]:
    return {"auth": {"secretKeyPath": str(key_file)}, "redis": REDIS | redis}


@pytest.mark.parametrize("prefix", ["encrypted:", "ENC:"])
def test_encrypted_values_are_decrypted(key_file: Path, prefix: str) -> None:
    value = encrypt(Secret("pä,ss"), read_key(key_file)).replace("encrypted:", prefix)
    string = encrypt(Secret("h:1,user=u"), read_key(key_file))
    settings = parse(with_key(key_file, password=value, tlsCertPassword=value, connectionString=string))
    assert settings.redis.password == Secret("pä,ss")
    assert settings.redis.tls_cert_password == Secret("pä,ss")
    assert settings.redis.connection is not None
    assert settings.redis.connection.user == "u"


def test_an_encrypted_value_that_cannot_be_opened_names_its_place(key_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    create_key(other)
    good = encrypt(Secret("HUSH"), read_key(key_file))
    flipped = good[:-6] + ("A" if good[-6] != "A" else "B") + good[-5:]
    for value, path, found in [
        (good, other, "another key"),
        (flipped, key_file, "it was changed"),
        (good[:30], key_file, "cut off"),
        ("encrypted:base64-encrypted-password-here", key_file, "not base64"),
        ("ENC:", key_file, "cut off"),
        ("encrypted:" + base64.b64encode(b"\x02" * 60).decode(), key_file, "version 2"),
        (good, tmp_path / "none.key", "No such file"),
    ]:
        problem = only(with_key(path, password=value))
        assert problem.path == "redis.password"
        assert found in problem.found
        assert "HUSH" not in problem.sentence()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file modes on Windows")
@pytest.mark.parametrize(("mode", "who"), [(0o640, "its group"), (0o604, "everyone"), (0o620, "its group")])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int, who: str) -> None:
    value = encrypt(Secret("x"), read_key(key_file))
    key_file.chmod(mode)
    problem = only(with_key(key_file, password=value))
    assert who in problem.found
    assert problem.fix == f"Run: chmod 600 {key_file}"


def test_a_key_file_with_something_else_in_it_is_refused(key_file: Path) -> None:
    value = encrypt(Secret("x"), read_key(key_file))
    for content in (b"", b"HUSH", base64.b64encode(b"short"), b"\xff\xfe"):
        key_file.write_bytes(content)
        assert "32 bytes in base64" in only(with_key(key_file, password=value)).expected


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("two\nlines\n", encoding="utf-8")
    (tmp_path / "pw").chmod(0o600)
    settings = parse({"redis": REDIS | {"password": {"file": "pw"}}}, tmp_path)
    assert settings.redis.password == Secret("two\nlines")
    assert settings.warnings == ()
    monkeypatch.setenv("RPPAM_TEST_PASSWORD", "a,b")
    assert parse({"redis": REDIS | {"password": {"env": "RPPAM_TEST_PASSWORD"}}}).redis.password == Secret("a,b")


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file"), (b"", "empty"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "more")],
)
def test_a_secret_file_that_holds_none_is_an_error(tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    assert found in only({"redis": REDIS | {"password": {"file": "pw"}}}, tmp_path).found


@pytest.mark.skipif(sys.platform == "win32", reason="variables are Unicode on Windows")
@pytest.mark.parametrize("key", ["connectionString", "password", "sentinelPassword", "tlsCertPassword"])
def test_a_variable_that_holds_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("RPPAM_TEST_PASSWORD", "HUSH\udcff")  # the byte 0xff
    problem = only({"redis": REDIS | {key: {"env": "RPPAM_TEST_PASSWORD"}}})
    assert (problem.path, problem.found) == (f"redis.{key}", "bytes that are not UTF-8")
    assert "RPPAM_TEST_PASSWORD" in problem.expected
    assert "HUSH" not in problem.sentence()


def test_a_missing_variable_is_an_error() -> None:
    assert only({"redis": REDIS | {"password": {"env": "RPPAM_NO_SUCH"}}}).found == "no such variable"


# Files


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file modes on Windows")
def test_a_config_file_open_to_others_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "rppam.config"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o600)
    assert load_settings(path, outside=HostSecrets()).warnings == ()
    path.chmod(0o644)
    (warning,) = load_settings(path, outside=HostSecrets()).warnings
    assert "open to everyone" in warning
    assert f"chmod 600 {path}" in warning


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "x" / "y", Path("a\0b")):
        with pytest.raises(ConfigFileError) as caught:
            load_settings(path, outside=HostSecrets())
        assert "rppam init" in str(caught.value)


def test_option_then_environment_then_platform_choose_the_file() -> None:
    assert config_path("a", {"RPPAM_CONFIG": "b"}) == Path("a")
    assert config_path(None, {"RPPAM_CONFIG": "b"}) == Path("b")
    assert config_path(None, {"RPPAM_CONFIG": ""}, LINUX) == Path("/etc/rppam/rppam.config")
    assert str(config_path(None, {}, WINDOWS)) == r"C:\ProgramData\Ravenphyre\RP-PAM\rppam.config"


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


def test_the_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "reference" / "config.md").read_text(encoding="utf-8")
    assert page == reference.render(), "run: python -m rppam.config.reference > docs/reference/config.md"


def test_every_documented_default_is_the_real_one() -> None:
    tree = show.as_json(parse({}))
    for section, made in SECTIONS.items():
        for key in keys_of(made).values():
            if isinstance(key.default, str | int | bool):
                assert tree[section][key.name]["value"] == key.default
                assert parse({section: {key.name: key.default}}).given == {f"{section}.{key.name}"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        section: st.fixed_dictionaries({}, optional={key.name: JSON for key in keys_of(made).values()})
        for section, made in SECTIONS.items()
    },
)


@given(FILES)
def test_no_json_ends_in_anything_but_settings_or_problems(tree: dict[str, Any]) -> None:
    try:
        settings = parse(tree)
    except ConfigValueError as error:
        found = error.problems
    else:
        found = ()
        assert settings.cluster.timing.check()
    assert all(problem.path and problem.expected and problem.found and problem.fix for problem in found)
