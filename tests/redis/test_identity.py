"""Who answers: versions, roles, and when two identities prove the same server."""

from dataclasses import replace

import pytest

from rppam.redis.identity import ServerIdentity, identify, parse_info, version_tuple

HELLO: dict[bytes, object] = {b"server": b"redis", b"version": b"7.2.4", b"role": b"master", b"mode": b"standalone"}
VALKEY = (
    b"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\n"
    b"run_id:dea1\r\n# Replication\r\nrole:slave\r\nmaster_replid:4b02\r\n"
)


def test_valkey_names_itself_and_the_redis_it_is_compatible_with() -> None:
    identity = identify(HELLO, parse_info(VALKEY))
    assert identity == ServerIdentity(
        server="valkey",
        version="8.1.1",
        redis_version="7.2.4",
        role="replica",
        mode="standalone",
        run_id="dea1",
        replication_id="4b02",
    )


def test_without_info_hello_tells_what_it_can() -> None:
    identity = identify(HELLO, {})
    assert (identity.server, identity.version, identity.role) == ("redis", "7.2.4", "master")
    assert identity.run_id is None
    assert not identity.is_known


@pytest.mark.parametrize(
    ("version", "too_old"),
    [
        ("6.0.16", True),
        ("6.2.0", False),
        ("6.2", False),
        ("7.0.11-rc1", False),
        ("5.0.7", True),
        ("255.255.255", False),
    ],
)
def test_versions_below_six_two_are_noted(version: str, too_old: bool) -> None:
    assert identify(HELLO | {b"version": version.encode()}, {}).is_too_old is too_old


@pytest.mark.parametrize(
    ("text", "expected"), [("8.1.1", (8, 1, 1)), ("7.0.11-rc1", (7, 0, 11)), ("", (0,)), ("unstable", (0,))]
)
def test_version_numbers(text: str, expected: tuple[int, ...]) -> None:
    assert version_tuple(text) == expected


def test_the_same_history_needs_both_ids_known_and_equal() -> None:
    one = identify(HELLO, parse_info(VALKEY))
    assert one.same_history(replace(one, role="master"))
    assert not one.same_history(replace(one, run_id="other"))
    assert not one.same_history(replace(one, replication_id="other"))
    unknown = replace(one, run_id=None)
    assert not unknown.same_history(unknown)
    assert not one.same_history(unknown)


def test_lines_that_are_no_fields_are_skipped() -> None:
    assert parse_info(b"# Server\r\n\r\nno colon\r\na:b:c\r\n\xff:\xfe\r\n") == {"a": "b:c", "\ufffd": "\ufffd"}
