"""Connection strings: the grammar of StackExchange.Redis, stricter where silence hurts, and silent about secrets."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from rppam.config.connection import parse_connection
from rppam.config.endpoint import Endpoint
from rppam.config.errors import ConnectionStringError, Problem
from rppam.config.keywords import KEYWORDS
from rppam.config.options import ConnectionOptions
from rppam.config.writing import as_json, format_connection
from rppam.kernel.secret import Secret

PLAIN: dict[str, Any] = {
    "mode": "single",
    "endpoints": ["h:6379"],
    "serviceName": None,
    "user": None,
    "password": None,
    "ssl": False,
    "sslHost": None,
    "sentinelUser": None,
    "sentinelPassword": None,
    "abortConnect": True,
    "connectTimeout": 5000,
    "syncTimeout": 5000,
    "connectRetry": 3,
    "keepAlive": 60,
    "defaultDatabase": None,
    "name": None,
    "commandMap": {},
    "ignored": [],
}

UNDERSTOOD = [
    ("h", {}),
    (" h ", {}),
    ("h,", {}),
    (",,h,,", {}),
    ("\t h \r\n, \n", {}),
    ("H:1,h:1", {"endpoints": ["H:1"]}),
    ("h,h:6379", {}),
    ("h:06379", {}),
    ("10.0.1.20:6379", {"endpoints": ["10.0.1.20:6379"]}),
    ("redis_1,redis-2.example.com.:7", {"endpoints": ["redis_1:6379", "redis-2.example.com.:7"]}),
    ("h1,h2:7000,h1", {"endpoints": ["h1:6379", "h2:7000"]}),
    ("[::1]:7000", {"endpoints": ["[::1]:7000"]}),
    ("[::1]", {"endpoints": ["[::1]:6379"]}),
    ("::1", {"endpoints": ["[::1]:6379"]}),
    ("::1,[::1],[0:0::1]:6379", {"endpoints": ["[::1]:6379"]}),
    ("2a01::1:6379", {"endpoints": ["[2a01::1:6379]:6379"]}),
    ("fe80::1%eth0,ssl=1", {"endpoints": ["[fe80::1%eth0]:6380"], "ssl": True}),
    ("h,ssl=true", {"endpoints": ["h:6380"], "ssl": True}),
    ("h,SSL=True", {"endpoints": ["h:6380"], "ssl": True}),
    ("h,sSl = yEs", {"endpoints": ["h:6380"], "ssl": True}),
    ("h,ssl=on,ssl=off", {}),
    ("s1,serviceName=m", {"mode": "sentinel", "endpoints": ["s1:26379"], "serviceName": "m"}),
    ("s1,s2:5,serviceName=m,ssl=1", {
        "mode": "sentinel", "endpoints": ["s1:26379", "s2:5"], "serviceName": "m", "ssl": True}),
    ("h,serviceName=", {}),
    ("h,abortConnect=false", {"abortConnect": False}),
    ("h,abortConnect=no,AbortConnect=0", {"abortConnect": False}),
    ("h,syncTimeout=9000", {"syncTimeout": 9000}),
    ("h,connectTimeout=+100", {"connectTimeout": 100}),
    ("h,connectRetry=1,keepAlive=5,defaultDatabase=0", {"connectRetry": 1, "keepAlive": 5, "defaultDatabase": 0}),
    ("h , name = my node , user=u", {"name": "my node", "user": "u"}),
    ("h,sslHost=redis.example.com", {"sslHost": "redis.example.com"}),
    ("h,password=p,$config=c,$ACL|SETUSER=", {"password": "p", "commandMap": {"CONFIG": "c", "ACL|SETUSER": ""}}),
    ("h,$MODULE.X=y,password=p", {"password": "p", "commandMap": {"MODULE.X": "y"}}),
    ("auth:6379", {"endpoints": ["auth:6379"]}),
    ("h,$CONFIG=,$select=use,$Select=used", {"commandMap": {"CONFIG": "", "SELECT": "used"}}),
    ("h,password=", {}),
    ("h,password=x,password=", {}),
    ("password=only,h:6379", {"password": "only"}),
    ("password=p,redis.example.com", {"endpoints": ["redis.example.com:6379"], "password": "p"}),
    ("h:1,password=p,10.0.0.2,localhost,[::1]", {
        "endpoints": ["h:1", "10.0.0.2:6379", "localhost:6379", "[::1]:6379"], "password": "p"}),
    ("h,password=p,ssl=false,h2", {"endpoints": ["h:6379", "h2:6379"], "password": "p"}),
    ("redis://h", {}),
    ("  REDIS://h:6379/  ", {}),
    ("redis://:p%40%2C%25@h/2", {"password": "p@,%", "defaultDatabase": 2}),
    ("redis://u:a:b@h", {"user": "u", "password": "a:b"}),
    ("redis://u:p@ss@h", {"user": "u", "password": "p@ss"}),
    ("redis://:%C3%A9+x@h", {"password": "é+x"}),
    ("rediss://h", {"endpoints": ["h:6380"], "ssl": True}),
    ("rediss://h?sslHost=x&abortConnect=0", {
        "endpoints": ["h:6380"], "ssl": True, "sslHost": "x", "abortConnect": False}),
    ("redis://[::1]:7,h2", {"endpoints": ["[::1]:7", "h2:6379"]}),
    ("redis://h?user=a&user=b&password=c&password=d", {"user": "b", "password": "d"}),
    ("redis://h?defaultDatabase=1&DEFAULTDATABASE=2", {"defaultDatabase": 2}),
    ("redis://h?serviceName=m&serviceName=n", {"mode": "sentinel", "endpoints": ["h:26379"], "serviceName": "n"}),
    ("redis+sentinel://s1,s2:5/m", {"mode": "sentinel", "endpoints": ["s1:26379", "s2:5"], "serviceName": "m"}),
    ("redis+sentinel://u:p@s1/my%2Fm/3", {
        "mode": "sentinel", "endpoints": ["s1:26379"], "serviceName": "my/m", "user": "u", "password": "p",
        "defaultDatabase": 3}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "differs"), UNDERSTOOD)
def test_a_good_string_is_understood(text: str, differs: dict[str, object]) -> None:
    assert as_json(parse_connection(text), show_secrets=True) == PLAIN | differs


@pytest.mark.parametrize("password", ["a=b==", "p@ss", "#!:/%", "two words", "päß", "p;q", "=", "%41", "$X=1", "a|b"])
def test_a_password_keeps_every_character_but_a_comma(password: str) -> None:
    options = parse_connection(f"h:1,password= {password} ,ssl=false")
    assert options.password == Secret(password)
    assert parse_connection(format_connection(options, show_secrets=True)) == options


WRONG = [
    ("", "an empty text", "Begin with"),
    (" ", "an empty text", "Begin with"),
    (",,", "found none", "Begin with"),
    ("password=x", "found none", "Begin with"),
    ("h,=v", "'=' without a name", "name=value"),
    ("h,Password", "'Password', an option without '='", "Write password=...; a host of this name"),
    ("h,ssl,abortConnect=false", "'ssl', an option without '='", "ssl:6379"),
    ("h:", "'h:', a colon without a port", "leave the colon out"),
    ("h:,password=p", "a colon without a port", "part 1"),
    ("h:0", "port '0'", "1 to 65535"),
    ("h:70000", "port '70000'", "1 to 65535"),
    ("h:99999999999999999999", "a port", "1 to 65535"),
    ("h:+6379", "port '+6379'", "digits only"),
    ("h:-1", "port '-1'", "digits only"),
    ("h:xx", "'h:xx'", "digits only"),
    ("h:６３７９", "not a number", "digits only"),
    (":6379", "no host before the colon", "host:port"),
    ("[::1", "brackets that do not match", "[address]:port"),
    ("::1]", "brackets that do not match", "[address]:port"),
    ("[::1]x", "brackets that do not match", "[address]:port"),
    ("[::1]:", "a colon without a port", "leave the colon out"),
    ("[h]:1", "not an IPv6 address", "host:port"),
    ("h:1:2", "not an IPv6 address", "host:port"),
    ("10.0.0.256", "not an IPv4 address", "0 to 255"),
    ("127.1", "not an IPv4 address", "0 to 255"),
    ("6379", "not an IPv4 address", "0 to 255"),
    ("a..b", "cannot be a host name", "single dots"),
    ("-a", "cannot be a host name", "single dots"),
    ("!/run/redis.sock", "a Unix socket", "host:port"),
    ("h1 h2", "with a space", "by commas"),
    ("h,flibble=1", "'flibble'", "Take it out"),
    ("h,abortConect=1", "'abortConect'", "Did you mean 'abortConnect'?"),
    ("h,pwd=x", "'pwd'", "Did you mean 'password'?"),
    ("h,tls=true", "'tls'", "Did you mean 'ssl'?"),
    ("h,ssl=maybe", "'maybe'", "Write true or false"),
    ("h,ssl=", "found nothing", "Write true or false"),
    ("h,ssl=maybe,ssl=true", "'maybe'", "Write true or false"),
    ("h,allowAdmin=perhaps", "'perhaps'", "Write true or false"),
    ("h,syncTimeout=5s", "'5s'", "syncTimeout=5000 (ms)"),
    ("h,connectTimeout=2 min", "'2 min'", "connectTimeout=120000 (ms)"),
    ("h,keepAlive=1m", "'1m'", "keepAlive=60 (s)"),
    ("h,syncTimeout=0", "'0'", "from 1"),
    ("h,connectTimeout=-1", "'-1'", "from 1"),
    ("h,connectRetry=0", "'0'", "from 1"),
    ("h,keepAlive=0", "'0'", "from 1"),
    ("h,asyncTimeout=0", "'0'", "from 1"),
    ("h,responseTimeout=-1", "'-1'", "from 1"),
    ("h,responseTimeout=5s", "'5s'", "responseTimeout=5000 (ms)"),
    ("h,defaultDatabase=-1", "'-1'", "from 0"),
    ("h,syncTimeout=1e3", "'1e3'", "digits only"),
    ("h,syncTimeout=5_000", "'5_000'", "digits only"),
    ("h,syncTimeout=2147483648", "'2147483648'", "2147483647"),
    ("h,syncTimeout=" + "9" * 5000, "5000 characters", "2147483647"),
    ("h,$=x", "no command name", "$CONFIG"),
    ("h,password=ab,$SECRET=1", "no command of Redis after the password", "has a comma"),
    ("h,password:1234", "a ':' behind password", "Write password=..."),
    ("h,password=ab,ssl=12", "a value right after the password", "has a comma"),
    ("h,password=ab,syncTimeout=5s", "a value right after the password", "has a comma"),
    ("h,password=encrypted:abc", "an encrypted value", "set redis.password to it"),
    ("h,password=ENC:abc", "an encrypted value", "set redis.password to it"),
    ("s,serviceName=m,sentinelPassword=encrypted:x", "an encrypted value", "set redis.sentinelPassword to it"),
    ("redis://:encrypted%3Aabc@h", "an encrypted value", "set redis.password to it"),
    ("h,$CONFIG=a b", "something else", "rename-command"),
    ("h\0", "U+0000", "Take it out"),
    ("h,name=a\x00b", "U+0000", "Take it out"),
    ("h,name=\udcff", "U+DCFF", "Take it out"),
    ("http://h", "http://", "host:port"),
    ("redi://h", "redi://", "Did you mean redis://?"),
    ("redis://", "found none", "Begin with"),
    ("redis://h/x", "'x'", "digits only"),
    ("redis://h/1/2", "more parts", "Percent-encode"),
    ("redis://::1", "no brackets", "[::1]:6379"),
    ("redis://h,password=x", "an option among the hosts", "behind a '?'"),
    ("redis://h?flibble=1", "'flibble'", "Take it out"),
    ("redis://u:p@h?user=b", "one in the URL and one among its options", "Say it once"),
    ("redis://h/1?defaultDatabase=1", "one in the URL and one among its options", "Say it once"),
    ("redis+sentinel://h", "found none", "/name"),
    ("rediss://h?ssl=false", "found both", "Take ssl out"),
    ("redis://:%zz@h", "a lone '%'", "%25"),
    ("redis://:%ff@h", "other bytes", "UTF-8"),
    ("h" * 70_000, "70000 characters", "Shorten"),
]


@pytest.mark.parametrize(("text", "found", "fix"), WRONG)
def test_a_wrong_string_is_refused_with_what_was_found_and_the_fix(text: str, found: str, fix: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(text)
    assert found in str(caught.value)
    assert fix in str(caught.value)
    assert len(caught.value.problems) == 1


SECRETIVE = [
    "h,password=ab,HUSH",
    "h,password=ab,HUSH=x",
    "h,password=ab,HUSH=HUSH",
    "h,password=ab,=HUSH",
    "h,password=ab,HUSH:xx",
    "h,password=ab,x,HUSH",
    "h,password=ab,$X=1,HUSH",
    "h.example.com,password=ab,HUSH.x",
    "h,password=ab,HUSH!",
    "h,paswword=HUSH",
    "h,paswword=ab,HUSH",
    "h,flibble=HUSH",
    "h,sentinelPassword=ab,HUSH",
    "h,password=HUSH\x00",
    "h,password=ab,$HUSH=1",
    "h,password=ab,$HUSH=HUSH,x",
    "h,password=ab,$HUSH",
    "h,password=ab,$=HUSH",
    "h,password=ab,$GET=HUSH HUSH",
    "h,password=ab,ssl=HUSH",
    "h,password=ab,allowAdmin=HUSH",
    "h,password=ab,syncTimeout=HUSH",
    "h,password=ab,ssl=HUSH,HUSH:x",
    "h,password:HUSH",
    "h,Password : HUSH",
    "h,password:HUSH=x",
    "h,password:HUSH,HUSH",
    "h,sentinelPassword:HUSH",
    "h,pwd:HUSH",
    "h,paswword:HUSH",
    "password:HUSH,h",
    "h,password=encrypted:HUSH",
    "redis://:ENC%3AHUSH@h",
    "password=HUSH",
    "h,abortConnect=false password=HUSH",
    "h,syncTimeout=5000;password=HUSH",
    "h:6379;password=HUSH",
    "h:6379 password=HUSH,ssl=true",
    "HUSH@h:6379",
    ":HUSH@h:6379",
    "u:HUSH@h?ssl=true",
    "redis://HUSH@h",
    "redis://:HUSH/x@h",
    "redis://:x/HUSH@h",
    "redis://:x#HUSH@h",
    "redis://:x?HUSH@h",
    "redis://:HUSH%@h",
    "redis://:HUSH@h:0",
    "redis://:HUSH@h?password=HUSH",
    "redi://:HUSH@h",
]


@pytest.mark.parametrize("text", SECRETIVE)
def test_no_message_shows_what_may_be_a_secret(text: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(text)
    assert "HUSH" not in f"{caught.value} {caught.value!r} {caught.value.problems!r}"


def test_a_renamed_command_that_no_server_has_by_itself_survives_being_written() -> None:
    options = parse_connection("h,$MODULE.X=y,password=p")
    assert parse_connection(format_connection(options, show_secrets=True)) == options


def test_the_rest_of_a_password_with_a_comma_points_to_the_separate_setting() -> None:
    with pytest.raises(ConnectionStringError, match=r"redis\.password"):
        parse_connection("10.0.1.20:6379,password=ab,cd,ssl=false")


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("s,serviceName=m,sentinelPassword=ab,cd", "redis.sentinelPassword"),
        ("s,serviceName=m,password=x,sentinelPassword=ab,cd=x", "redis.sentinelPassword"),
        ("s,serviceName=m,sentinelPassword=x,password=ab,cd", "redis.password"),
        ("s,serviceName=m,sentinelPassword=x\x01", "redis.sentinelPassword"),
        ("s,password=x\x01", "redis.password"),
    ],
)
def test_each_password_that_this_form_cannot_hold_points_to_its_own_setting(text: str, setting: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(text)
    (problem,) = caught.value.problems
    assert re.findall(r"redis\.\w+", problem.fix) == [setting]


def test_a_comma_in_what_has_no_effect_is_taken_out_with_it() -> None:
    with pytest.raises(ConnectionStringError, match="take it out: it has no effect here"):
        parse_connection("h,tunnel=ab,HUSH")


def test_all_problems_of_a_string_come_together() -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection("h:0,ssl=maybe,syncTimeout=5s,flibble=1,paswword=x")
    assert [problem.path for problem in caught.value.problems] == ["part 1", "ssl", "syncTimeout", "part 4", "part 5"]


def test_options_print_without_their_secrets() -> None:
    options = parse_connection("h,password=HUSH,sentinelPassword=HUSH,tunnel=HUSH")
    assert "HUSH" not in f"{options!r} {options} {as_json(options)} {format_connection(options)}"
    assert as_json(options)["password"] == "********"
    assert "HUSH" in format_connection(options, show_secrets=True)


def test_all_34_options_are_honoured_or_ignored_with_a_reason() -> None:
    values = {"text": "x", "flag": "true", "whole": "7", "any": "x"}
    assert len(KEYWORDS) == 34
    for keyword in KEYWORDS.values():
        value = "false" if keyword.default == "true" else values[keyword.form]
        options = parse_connection(f"h,{keyword.name.upper()}={value}")
        assert [ignored.option for ignored in options.ignored] == ([] if keyword.honoured else [keyword.name])
        assert all(ignored.reason for ignored in options.ignored)
        if keyword.honoured:
            assert options != parse_connection("h"), keyword.name


def test_sentinel_credentials_are_separate() -> None:
    options = parse_connection("s,serviceName=m,user=u,password=p,sentinelUser=su,sentinelPassword=sp")
    assert (options.user, options.password) == ("u", Secret("p"))
    assert (options.sentinel_user, options.sentinel_password) == ("su", Secret("sp"))


def test_connect_timeout_does_not_follow_sync_timeout() -> None:
    assert parse_connection("h,syncTimeout=20000").timeouts.connect_ms == 5000


@pytest.mark.parametrize(
    ("text", "tls", "port"),
    [("h", True, 6380), ("h", False, 6379), ("h,ssl=true", True, 6380), ("h,ssl=0", False, 6379)],
)
def test_the_setting_beside_the_string_decides_where_it_says_nothing(text: str, tls: bool, port: int) -> None:
    options = parse_connection(text, tls=tls)
    assert options.ssl is tls
    assert options.endpoints == (Endpoint("h", port),)


@pytest.mark.parametrize(("text", "tls"), [("h,ssl=true", False), ("h,ssl=false", True), ("rediss://h", False)])
def test_ssl_against_tls_enabled_is_an_error(text: str, tls: bool) -> None:
    with pytest.raises(ConnectionStringError, match="tlsEnabled"):
        parse_connection(text, tls=tls)


@pytest.mark.parametrize("password", ["a,b", " Q", "Q\x01"])
def test_what_the_string_form_cannot_hold_is_refused_when_written(password: str) -> None:
    options = parse_connection("h").with_password(Secret(password))
    with pytest.raises(ConnectionStringError, match=r"redis\.password") as caught:
        format_connection(options, show_secrets=True)
    assert password not in str(caught.value)
    assert format_connection(options) == "h:6379,password=********"


# Properties

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z]{1,5})?", fullmatch=True)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"))
ENDPOINTS = st.builds(
    lambda host, port: f"{host}:{port}" if port else host, HOSTS, st.one_of(st.none(), st.integers(1, 65_535))
)
VALUES = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=","), max_size=12)
CASES = st.sampled_from([str.lower, str.upper, str])


def option(name: str, form: str) -> st.SearchStrategy[str]:
    values = {
        "text": VALUES,
        "flag": st.sampled_from(["true", "FALSE", "1", "0", "Yes", "no", "on", "off"]),
        "whole": st.integers(1, 2**31 - 1).map(str),
        "any": VALUES,
    }
    return st.builds(lambda case, value: f"{case(name)} = {value}", CASES, values[form])


OPTIONS = st.one_of([option(keyword.name, keyword.form) for keyword in KEYWORDS.values()])
COMMANDS = st.builds(
    lambda name, to: f"${name}={to}", st.sampled_from(["config", "FLUSHALL"]), st.sampled_from(["", "X1"])
)
STRINGS = st.builds(
    lambda endpoints, options: ",".join([*endpoints, *options]),
    st.lists(ENDPOINTS, min_size=1, max_size=4),
    st.lists(st.one_of(OPTIONS, COMMANDS), max_size=8),
)


@given(STRINGS)
def test_parse_format_parse_is_lossless(text: str) -> None:
    options = parse_connection(text)
    written = format_connection(options, show_secrets=True)
    assert parse_connection(written) == options
    assert format_connection(parse_connection(written), show_secrets=True) == written


def outcome(text: str) -> ConnectionOptions | tuple[Problem, ...]:
    """What was understood, or the problems."""
    try:
        return parse_connection(text)
    except ConnectionStringError as error:
        return error.problems


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_a_url_carries_any_printable_password(password: str) -> None:
    assert parse_connection(f"redis://:{quote(password, safe='')}@h").password == Secret(password)


@given(
    st.one_of(st.text(max_size=60), st.text("h:,=[]1;$ @/%?#!.\0", max_size=30), STRINGS.map(lambda text: text[::-1]))
)
def test_any_text_is_understood_or_refused_with_reasons(text: str) -> None:
    result = outcome(text)
    if isinstance(result, ConnectionOptions):
        assert result.endpoints
        assert all(0 < endpoint.port < 65_536 for endpoint in result.endpoints)
        assert parse_connection(format_connection(result, show_secrets=True)) == result
    else:
        assert result
        assert all(problem.expected and problem.found and problem.fix for problem in result)


@given(st.text(st.characters(categories=["Lu"]), min_size=6, max_size=20), st.text("xyz@:;=!/ ", max_size=8))
def test_a_password_cut_at_a_comma_never_shows_its_rest(rest: str, tail: str) -> None:
    with pytest.raises(ConnectionStringError) as caught:
        parse_connection(f"h:6379,password=ab,{rest}Q{tail}Q")
    assert f"{rest}Q" not in str(caught.value)
