"""What a connection string says to no effect, or twice: told by the command that tries it, and by the whole config."""

import json

import pytest
from click.testing import CliRunner

from rppam.app.config_cli import command
from rppam.config.connection import parse_connection
from rppam.config.remarks import remarks
from rppam.config.wording import alike
from tests.support.parsing import only, parse

SAID = [
    ("h,ssl=true,ssl=false", "ssl", "the last one counts"),
    ("h,password=HUSH,password=HUSHED", "password", "the last one counts"),
    ("h,syncTimeout=1,SYNCTIMEOUT=2", "syncTimeout", "the last one counts"),
    ("h,$CONFIG=,$config=x", "$CONFIG", "the last one counts"),
    ("redis://h?user=a&user=b&password=HUSH", "user", "the last one counts"),
    ("h,sentinelPassword=HUSH", "sentinelPassword", "no effect without serviceName"),
    ("h,sentinelUser=u", "sentinelUser", "no effect without serviceName"),
    ("h,user=u", "user", "no effect without a password"),
    ("h,serviceName=m,sentinelUser=u", "sentinelUser", "no effect without sentinelPassword"),
    ("h,serviceName=m,sentinelUser=u,password=HUSH", "sentinelUser", "Redis's own password"),
]


@pytest.mark.parametrize(("text", "name", "why"), SAID)
def test_what_has_no_effect_or_stands_there_twice_is_named_by_both_commands(text: str, name: str, why: str) -> None:
    (said,) = remarks(parse_connection(text))
    assert said.startswith(f"{name}: ")
    assert why in said
    assert "HUSH" not in said
    result = CliRunner().invoke(command, ["parse-connection", text])
    assert (result.exit_code, f"warning: {said}" in result.stderr) == (0, True)
    answer = CliRunner().invoke(command, ["parse-connection", text, "--json"])
    assert json.loads(answer.stdout)["warnings"] == [said]
    settings = parse({"redis": {"enabled": True, "connectionString": text}})
    assert f"redis.connectionString ({name}): {said.partition(': ')[2]}" in settings.warnings


@pytest.mark.parametrize(
    "text",
    [
        "h,ssl=true,ssl=yes",
        "h,password=x,password=x",
        "h,serviceName=m,sentinelUser=u,sentinelPassword=x",
        "h,user=u,password=x",
    ],
)
def test_what_is_meant_so_is_not_remarked(text: str) -> None:
    assert not list(remarks(parse_connection(text)))


def test_what_stands_beside_the_string_counts() -> None:
    redis = {"enabled": True, "connectionString": "s,serviceName=m,sentinelUser=u,user=v"}
    assert len([one for one in parse({"redis": redis}).warnings if "redis.connectionString" in one]) == 2
    both = {"redis": {**redis, "sentinelPassword": "HUSH", "password": "HUSH"}}
    assert not [one for one in parse(both).warnings if "redis.connectionString" in one]


@pytest.mark.parametrize(
    ("section", "key", "meant"),
    [
        ("node", "name", "node.nodeName"),
        ("node", "dir", "node.dataDir"),
        ("api", "cert", "api.tlsCertPath or api.tlsCertPassword"),
        ("node", "memberPort", "cluster.memberPort"),
        ("api", "prot", "api.port"),
    ],
)
def test_an_unknown_key_is_looked_for_in_its_own_section_first(section: str, key: str, meant: str) -> None:
    assert only({section: {key: "x"}}).fix == f"Did you mean {meant}?"


def test_a_part_of_too_many_words_suggests_none() -> None:
    assert alike("tls", [f"tls{number}OfSomething" for number in range(5)]) == ()
    assert alike("mfa", ["security/mfa", "security/sessions"]) == ("security/mfa",)
    assert alike("a", ["nodea"]) == ()


def test_what_other_products_have_as_keys_of_their_own_is_told_where_it_belongs() -> None:
    assert only({"redis": {"host": "x"}}).fix.startswith("Write it as part of redis.connectionString: ")
    assert only({"redis": {"Port": 6379}}).fix.startswith("Write it as part of redis.connectionString: ")
    assert only({"database": {"server": "x"}}).fix.startswith("Write it as part of database.url: ")
