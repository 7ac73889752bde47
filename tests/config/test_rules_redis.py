"""What a config says of Redis that would never connect, never lead, or give a password away."""

import re

import pytest

import rppam.redis
from rppam.config.connection import parse_connection
from rppam.config.errors import ConnectionStringError
from rppam.config.keywords import NEEDED_COMMANDS, SCRIPT_COMMANDS
from tests.support.parsing import ROOT, only, parse


def config(text: str) -> dict[str, object]:
    return {"redis": {"enabled": True, "connectionString": f"10.0.1.20:6379,abortConnect=false,{text}"}}


@pytest.mark.parametrize("command", sorted(NEEDED_COMMANDS))
def test_a_command_that_a_node_needs_may_not_be_disabled(command: str) -> None:
    problem = only(config(f"${command.lower()}="))
    place = f"redis.connectionString (${command})"
    assert (problem.path, f"it is disabled (${command}=)") == (place, problem.found)


@pytest.mark.parametrize("text", ["$HELLO=", "$SET=", "$SET=put"])
def test_the_string_alone_is_refused_for_the_same_reason(text: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(f"10.0.1.20:6379,{text}")
    (alone,) = caught.value.problems
    assert alone.under("redis.connectionString") == only(config(text))


@pytest.mark.parametrize("command", sorted(SCRIPT_COMMANDS))
def test_what_scripts_call_keeps_its_name(command: str) -> None:
    assert "another name" in only(config(f"${command}=renamed")).found
    parse(config(f"${command}={command.lower()}"))


@pytest.mark.parametrize("text", ["$CONFIG=", "$HELLO=greet", "$EVALSHA=run", "$FLUSHALL=", "$INFO="])
def test_other_commands_may_be_renamed_or_disabled(text: str) -> None:
    parse(config(text))


def test_the_list_of_what_scripts_call_is_what_they_call() -> None:
    scripts = (ROOT / "src" / "rppam" / "redis" / "scripts").glob("*.lua")
    called = {name for one in scripts for name in re.findall(r"redis\.p?call\('(\w+)'", one.read_text())}
    assert called == SCRIPT_COMMANDS, rppam.redis.__doc__


@pytest.mark.parametrize(
    "host", ["contoso.redis.cache.windows.net", "C.REDIS.AZURE.NET", "x.1.euw1.cache.amazonaws.com", "db.upstash.io."]
)
def test_no_password_goes_in_the_clear_to_a_managed_service_unless_somebody_says_so(host: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(f"{host}:6379,password=hush")
    (problem,) = caught.value.problems
    assert (problem.path, "in the clear" in problem.found, "ssl=true" in problem.fix) == ("ssl", True, True)
    for text in (f"{host}:6380,password=p,ssl=true", f"{host}:6379,password=p,ssl=false", f"{host}:6379"):
        parse_connection(text)
    assert parse_connection(f"{host}:6380,password=p", tls=True).ssl


def test_a_host_of_ours_needs_no_word_on_tls() -> None:
    assert not parse_connection("redis.example.com:6379,password=p").ssl
