"""From a connection string to what a link is told."""

import ssl

from rppam.config.connection import parse_connection
from rppam.redis.options import LinkOptions


def test_a_connection_string_arrives_whole() -> None:
    parsed = parse_connection(
        "r1:7000,[::1]:7001,user=u,password=pä=ss,connectTimeout=11,syncTimeout=12,connectRetry=4,keepAlive=5,"
        "abortConnect=false,defaultDatabase=3,name=me,$CONFIG=x,$FLUSHALL=,ssl=true,sslHost=cert.example"
    )
    context = ssl.create_default_context()
    options = LinkOptions.of(parsed, client_name="other", ssl=context)
    assert options.endpoints == (("r1", 7000), ("::1", 7001))
    assert options.ssl is context
    assert options.client_name == "me"
    first, second = options.targets()
    assert (first.address, second.address) == ("r1:7000", "[::1]:7001")
    assert (first.user, first.database, first.server_hostname) == ("u", 3, "cert.example")
    assert first.password is not None
    assert first.password.reveal() == "pä=ss"
    assert (first.connect_timeout_ms, first.silence_ms) == (11, 12)
    assert (options.command_timeout_ms, options.connect_retry, options.keep_alive_s) == (12, 4, 5)
    assert not options.abort_connect
    assert dict(first.command_map) == {"CONFIG": "x", "FLUSHALL": ""}
    assert "pä" not in repr(options) + repr(first)


def test_the_articles_defaults() -> None:
    options = LinkOptions.of(parse_connection("r1"), client_name="node-a")
    assert options.endpoints == (("r1", 6379),)
    assert (options.connect_timeout_ms, options.command_timeout_ms, options.connect_retry) == (5_000, 5_000, 3)
    assert options.abort_connect
    assert options.ssl is None
    assert options.client_name == "node-a"


def test_ssl_without_a_context_verifies_the_server() -> None:
    options = LinkOptions.of(parse_connection("r1,ssl=true"))
    assert options.ssl is not None
    assert options.ssl.verify_mode is ssl.CERT_REQUIRED
    assert options.ssl.check_hostname
    assert options.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
