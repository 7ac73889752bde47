"""The section dns: what it needs, what it takes, and that its secret shows nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from rppam.cluster.dns.configured import addresses_of, key_of
from rppam.config.load import parse_settings
from rppam.config.show import as_json, changed_keys, fingerprint
from tests.support.named import secret_of
from tests.support.parsing import only, parse

SECRET = secret_of("rppam-key")
GOOD: dict[str, Any] = {
    "name": "pam.example.com",
    "server": "10.0.1.53",
    "keyName": "rppam-key",
    "keySecret": SECRET,
}
REDIS = {"enabled": True, "connectionString": "10.0.1.20:6379,abortConnect=false"}


def test_what_is_not_said_follows_from_the_name() -> None:
    dns = parse({"dns": {**GOOD, "name": "PAM.Example.com."}}).dns
    assert (dns.name, dns.own_zone, dns.port, dns.ttl_s) == ("pam.example.com", "example.com", 53, 5)
    assert (dns.key_algorithm, dns.addresses) == ("hmac-sha256", ())
    assert parse({"dns": {**GOOD, "zone": "com"}}).dns.own_zone == "com"
    assert parse({}).dns.name is None


@pytest.mark.parametrize(
    ("changes", "path", "fix"),
    [
        ({"name": "pam"}, "dns.name", "such as pam.example.com"),
        ({"name": "pam..example.com"}, "dns.name", "such as pam.example.com"),
        ({"name": "-pam.example.com"}, "dns.name", "such as pam.example.com"),
        ({"name": "p m.example.com"}, "dns.name", "such as pam.example.com"),
        ({"name": ".".join(["a" * 60] * 4)}, "dns.name", "such as pam.example.com"),
        ({"zone": "example.org"}, "dns.zone", "the zone that has the name in it"),
        ({"zone": "ample.com"}, "dns.zone", "the zone that has the name in it"),
        ({"server": "10.0.1.53:53"}, "dns.server", "without a port"),
        ({"port": 0}, "dns.port", "from 1 to 65535"),
        ({"ttlSeconds": 3601}, "dns.ttlSeconds", "from 0 to 3600"),
        ({"addresses": "10.0.1.11"}, "dns.addresses", 'such as ["10.0.1.11"]'),
        ({"addresses": ["node1"]}, "dns.addresses", 'such as ["10.0.1.11"]'),
        ({"addresses": ["0.0.0.0"]}, "dns.addresses", 'such as ["10.0.1.11"]'),
        ({"keyAlgorithm": "hmac-md5"}, "dns.keyAlgorithm", "hmac-sha256, hmac-sha384, hmac-sha512"),
        ({"keySecret": "not in base64!"}, "dns.keySecret", "what tsig-keygen prints"),
        ({"keySecret": "c2hvcnQ="}, "dns.keySecret", "what tsig-keygen prints"),
    ],
)
def test_a_wrong_value_is_told_with_its_fix(changes: dict[str, Any], path: str, fix: str) -> None:
    problem = only({"dns": GOOD | changes})
    assert problem.path == path
    assert fix in problem.fix
    assert str(changes.get("keySecret", "no secret")) not in str(problem)


@pytest.mark.parametrize("key", ["server", "keyName", "keySecret"])
def test_a_name_needs_a_server_and_a_key(key: str) -> None:
    problem = only({"dns": {name: value for name, value in GOOD.items() if name != key}})
    assert (problem.path, problem.expected) == (f"dns.{key}", "a value, as dns.name is set")


@pytest.mark.parametrize(
    ("dns", "cluster", "host", "words"),
    [
        ({"server": "10.0.1.53"}, True, "0.0.0.0", "dns.server: has no effect without dns.name"),
        (GOOD, False, "0.0.0.0", "dns.name: has no effect, since cluster.enabled is false"),
        (GOOD, True, "127.0.0.1", "dns.name: nobody answers there"),
        (GOOD | {"addresses": ["10.0.1.11"]}, True, "127.0.0.1", ""),
        (GOOD, True, "10.0.1.11", ""),
    ],
)
def test_what_has_no_effect_is_told(dns: dict[str, Any], cluster: bool, host: str, words: str) -> None:
    tree = {"redis": REDIS, "cluster": {"enabled": cluster}, "api": {"host": host}, "dns": dns}
    told = [one for one in parse(tree).warnings if one.startswith("dns.")]
    assert [one.startswith(words) for one in told] == ([True] if words else [])


def test_the_secret_shows_nowhere_and_a_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "tsig.key"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    text = json.dumps({"dns": GOOD | {"keySecret": {"file": "tsig.key"}}})
    settings = parse_settings(text, folder=tmp_path)
    assert SECRET not in f"{settings} {as_json(settings)}"
    key = key_of(settings.dns)
    assert key().secret == bytes(range(32))
    file.write_text(secret_of("stranger"))
    assert key().secret == bytes(range(32, 64))
    for content in ("", "half a sec"):  # while it is written
        file.write_text(content)
        assert key().secret == bytes(range(32, 64)), "what it said last counts"
    file.unlink()
    assert key().secret == bytes(range(32, 64))
    file.write_text(secret_of("stranger"))
    later = parse_settings(text, folder=tmp_path)
    assert changed_keys(settings, later) == (), "another secret in the file asks for no restart"
    assert fingerprint(settings) == fingerprint(later)


@pytest.mark.parametrize(
    ("given", "host", "found"),
    [
        (["10.0.1.11", "fd00::11"], "0.0.0.0", ["10.0.1.11", "fd00::11"]),
        ([], "10.0.1.7", ["10.0.1.7"]),
        ([], "0.0.0.0", []),
        ([], "::", []),
        ([], "127.0.0.1", []),
        ([], "node1.example.com", []),
    ],
)
def test_the_addresses_are_those_given_else_that_of_the_api(given: list[str], host: str, found: list[str]) -> None:
    settings = parse({"api": {"host": host}, "dns": GOOD | {"addresses": given}})
    assert list(map(str, addresses_of(settings))) == found
