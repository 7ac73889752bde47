"""Who answers: versions, roles, and when two identities prove the same server."""

from rppam.redis.handshake import ServerIdentity, identify, parse_info

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


def test_an_identity_is_known_by_both_ids() -> None:
    one = identify(HELLO, parse_info(VALKEY))
    assert one.is_known
    assert not one._replace(run_id=None).is_known
    assert not one._replace(replication_id=None).is_known


def test_lines_that_are_no_fields_are_skipped() -> None:
    assert parse_info(b"# Server\r\n\r\nno colon\r\na:b:c\r\n\xff:\xfe\r\n") == {"a": "b:c", "\ufffd": "\ufffd"}
