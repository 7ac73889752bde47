"""What the settings make of the way to Redis."""

from pathlib import Path

import pytest

from rppam.app.redis import cache_redis_parts, redis_parts
from rppam.cluster.health.model import SafetyLevel
from rppam.config.errors import ConfigValueError
from rppam.config.load import parse_settings
from rppam.kernel.errors import Exit
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy
from rppam.redis.endpoint_provider import DirectEndpoints
from rppam.redis.sentinel import SentinelEndpoints
from tests.support.authority import DAY, NOW, Authority


def parts(tmp_path: Path, redis: str):
    text = '{"node": {"nodeName": "n1"}, "redis": {"enabled": true, ' + redis + "}}"
    return redis_parts(parse_settings(text, folder=tmp_path), SystemClock(), SystemEntropy())


async def test_without_redis_there_is_no_way_to_it(tmp_path: Path) -> None:
    settings = parse_settings("{}", folder=tmp_path)
    assert redis_parts(settings, SystemClock(), SystemEntropy()) is None


async def test_one_redis_is_reached_directly_and_decides_alone(tmp_path: Path) -> None:
    made = parts(tmp_path, '"connectionString": "h:6379,abortConnect=false"')
    assert made is not None
    assert isinstance(made.held._source, DirectEndpoints)
    assert (made.replicas, made.identity_wait_us, made.safety_level) == (0, 0, SafetyLevel.SINGLE)
    assert made.tls is None
    assert made.link.options.ssl is None
    assert made.warnings() == ()


async def test_behind_sentinel_writes_wait_for_a_replica_and_candidates_two_seconds_longer(tmp_path: Path) -> None:
    made = parts(
        tmp_path,
        '"connectionString": "s1,s2:7,s3,serviceName=m,user=u,password=p,sentinelUser=su,sentinelPassword=sp,'
        '$EVALSHA=x,defaultDatabase=3"',
    )
    assert made is not None
    assert isinstance(made.held._source, SentinelEndpoints)
    assert (made.replicas, made.identity_wait_us, made.safety_level) == (1, 2_000_000, SafetyLevel.REPLICATED)
    assert [watcher.options.endpoints for watcher in made.watchers] == [
        (("s1", 26379),),
        (("s2", 7),),
        (("s3", 26379),),
    ]
    for watcher in made.watchers:
        options = watcher.options
        assert (options.user, options.password) == ("su", Secret("sp"))
        assert (options.database, dict(options.command_map), options.require_primary) == (0, {}, False)
    there = made.held._source._options.target("p", 6379)
    assert (there.user, there.password, there.database, there.require_primary) == ("u", Secret("p"), 3, True)
    assert dict(there.command_map) == {"EVALSHA": "x"}


async def test_sentinels_are_entered_as_redis_is_when_nothing_else_is_said(tmp_path: Path) -> None:
    made = parts(tmp_path, '"connectionString": "s1,serviceName=m,user=u,password=p"')
    assert made is not None
    (watcher,) = made.watchers
    assert (watcher.options.user, watcher.options.password) == ("u", Secret("p"))


async def test_a_client_certificate_is_read_at_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path = authority.pfx(password="pw", until=NOW + 3 * DAY)
    redis = '"connectionString": "h:6379,ssl=true", "tlsEnabled": true, "tlsCertPassword": "pw", "tlsCaPath": "%s"'
    made = parts(tmp_path, redis % authority.path + f', "tlsCertPath": "{path}"')
    assert made is not None
    assert made.tls is not None
    assert made.tls.client is not None
    assert made.tls.client.subject == "CN=node"
    assert "expires in" in made.warnings()[0]
    assert [one.certificate for one in made.certificates()] == ["redis client", "redis authority"]
    with pytest.raises(ConfigValueError, match=r"redis\.tlsCertPath") as caught:
        parts(tmp_path, redis % authority.path + f', "tlsCertPath": "{authority.path}"')
    assert caught.value.row.exit is Exit.CONFIGURATION
    with pytest.raises(ConfigValueError, match=r"redis\.tlsCaPath"):
        parts(tmp_path, '"connectionString": "h:6379,ssl=true", "tlsCaPath": "/absent.pem"')


@pytest.mark.parametrize(
    ("string", "profile", "leadership", "requests"),
    [
        ("h", "default", (2_000, 1_000), (2_000, 500)),
        ("h", "lan", (1_000, 250), (2_000, 500)),
        ("h", "classic", (5_000, 5_000), (2_000, 500)),
        ("h,connectTimeout=60000,syncTimeout=60000", "classic", (15_000, 5_000), (2_000, 500)),
        ("h,connectTimeout=60000,syncTimeout=60000", "default", (2_000, 1_000), (2_000, 500)),
        ("h,connectTimeout=300,syncTimeout=200", "default", (300, 200), (300, 200)),
    ],
)
async def test_no_wait_for_redis_is_longer_than_the_lease_or_a_request_can_afford(
    tmp_path: Path, string: str, profile: str, leadership: tuple[int, int], requests: tuple[int, int]
) -> None:
    text = '{"redis": {"enabled": true, "connectionString": "%s"}, "cluster": {"timingProfile": "%s"}}'
    settings = parse_settings(text % (string, profile), folder=tmp_path)
    for make, expected in ((redis_parts, leadership), (cache_redis_parts, requests)):
        made = make(settings, SystemClock(), SystemEntropy())
        assert made is not None
        assert (made.link.options.connect_timeout_ms, made.link.options.command_timeout_ms) == expected


@pytest.mark.parametrize(("option", "name"), [("", "rppam:n1"), (",name=pam here", "pam here")])
async def test_connections_have_the_name_that_the_string_gives_and_what_they_are_for(
    tmp_path: Path, option: str, name: str
) -> None:
    text = '{"node": {"nodeName": "n1"}, "redis": {"enabled": true, "connectionString": "s1,serviceName=m%s"}}'
    settings = parse_settings(text % option, folder=tmp_path)
    for make, purpose in ((redis_parts, "lease"), (cache_redis_parts, "cache")):
        made = make(settings, SystemClock(), SystemEntropy())
        assert made is not None
        assert made.link.options.client_name == f"{name}:{purpose}"
        assert [watcher.options.client_name for watcher in made.watchers] == [f"{name}:sentinel"]
