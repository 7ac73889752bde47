"""Every failure that is recognised, brought about for real, and named by the doctor with evidence and fix."""

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from tests.doctor.ailing import QUICK, Doctor, answering, black_hole, eventually, sentinel
from tests.support.authority import DAY, NOW, Authority, Issued
from tests.support.ports import free_port
from tests.support.redis_servers import PASSWORD, SERVERS, Server, need

pytestmark = pytest.mark.integration

REDIS_8 = next(kind for kind in SERVERS if kind.name == "redis-8")
SECRET = "a-password-that-nobody-may-see-in-any-output"
PLATFORMS = ("Debian/Ubuntu: ", "RHEL: ", "Docker: ", "Windows: ")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Any:
    need(REDIS_8)
    with Server(REDIS_8, *getattr(request, "param", ())) as running:
        yield running


def diagnosed(doctor: Doctor, code: str, *evidence: str, severity: str = "error") -> dict[str, str]:
    """The finding ``code``, after checking what every diagnosis owes."""
    found = doctor.findings()
    assert code in found, found
    for part in evidence:
        assert part in found[code]["evidence"], found[code]
    assert found[code]["severity"] == severity
    assert all(platform in found[code]["fix"] for platform in PLATFORMS), found[code]["fix"]
    if severity == "error":
        assert (doctor.exit, doctor.verdict) == (2, "errors")
    assert SECRET not in doctor.text + doctor.progress
    assert PASSWORD not in doctor.text + doctor.progress
    return found[code]


# --- reaching ----------------------------------------------------------------------------------------------------


def test_refused(tmp_path: Path) -> None:
    port = free_port()
    diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-101", f"127.0.0.1:{port}", "refused")


def test_a_black_hole_is_named_within_its_time(tmp_path: Path) -> None:
    with black_hole() as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET)
        diagnosed(doctor, "RD-102", f"no connection to Redis at 127.0.0.1:{port} within 1000 ms")
        assert doctor.took_s < 15


def test_five_black_holes_take_no_longer_than_one(tmp_path: Path) -> None:
    with black_hole() as one, black_hole() as two, black_hole() as three:
        places = ",".join(f"127.0.0.1:{port}" for port in (one, two, three))
        doctor = Doctor(tmp_path, f"{places},{QUICK},serviceName=rppam-master", password=SECRET)
        diagnosed(doctor, "RD-402", f"127.0.0.1:{one}", f"127.0.0.1:{two}", f"127.0.0.1:{three}")
        assert doctor.took_s < 15


def test_unknown_name(tmp_path: Path) -> None:
    doctor = Doctor(tmp_path, f"no-such-host.invalid:6379,{QUICK}", password=SECRET)
    diagnosed(doctor, "RD-103", "no-such-host.invalid")


def test_a_frozen_server(tmp_path: Path, server: Server) -> None:
    server.stop()
    try:
        doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
        diagnosed(doctor, "RD-105", "took the connection but said nothing")
    finally:
        server.cont()


def test_a_greeting_that_would_fill_the_memory(tmp_path: Path) -> None:
    with answering(b"$99999999999\r\n") as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-114", f"127.0.0.1:{port}")


@pytest.mark.parametrize("half", [b"%7\r\n$6\r\nserv", b"%7\r\n$6\r\nserver\r\n$5\r\nre", b"$999\r\n", b"+PO"])
def test_half_an_answer(half: bytes, tmp_path: Path) -> None:
    with answering(half) as port:
        told = f"127.0.0.1:{port} answered {len(half)} bytes, not a whole greeting"
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-105", told)


def test_a_server_that_hangs_up(tmp_path: Path) -> None:
    with answering(hang=False) as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-106", f"127.0.0.1:{port}")


def test_a_web_server(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-107", "HTTP")


def test_a_web_server_behind_tls(tmp_path: Path) -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},ssl=true", password=SECRET), "RD-107", "HTTP/1.1 400")


def test_another_protocol(tmp_path: Path) -> None:
    with answering(b"SSH-2.0-OpenSSH_9.9\r\n") as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-108", f"127.0.0.1:{port}")


def test_a_server_without_resp3(tmp_path: Path) -> None:
    with answering(b"-ERR unknown command 'HELLO'\r\n") as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET), "RD-109", "HELLO")


# --- what Redis answers ------------------------------------------------------------------------------------------


def test_no_password(tmp_path: Path, server: Server) -> None:
    diagnosed(Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}"), "RD-201", "NOAUTH")


def test_wrong_password_with_special_characters(tmp_path: Path, server: Server) -> None:
    wrong = "p@ss,w=rd$%&{}'\"#-is-not-it-ÄÖ"
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=wrong)
    diagnosed(doctor, "RD-202", "WRONGPASS")
    assert wrong not in doctor.text


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("-LOADING Redis is loading the dataset in memory", "RD-204"),
        ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "RD-208"),
        ("-DENIED Redis is running in protected mode because protected mode is enabled", "RD-210"),
        ("-ERR max number of clients reached", "RD-211"),
        ("-BUSY Redis is busy running a script.", "RD-213"),
        ("-ERR something else", "RD-214"),
    ],
)
def test_a_greeting_with_an_error(reply: str, code: str, tmp_path: Path) -> None:
    with answering(reply.encode() + b"\r\n") as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=SECRET)
        diagnosed(doctor, code, reply.removeprefix("-")[:20])


def test_a_replica(tmp_path: Path, server: Server) -> None:
    with Server(REDIS_8, "--replicaof", "127.0.0.1", str(server.port), "--masterauth", PASSWORD) as replica:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{replica.port},{QUICK}", password=PASSWORD), "RD-205", "replica")


def test_no_more_memory(tmp_path: Path, server: Server) -> None:
    server.ask("CONFIG", "SET", "maxmemory", "1")
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
    diagnosed(doctor, "RD-207", "OOM")


def test_a_database_that_is_not_there(tmp_path: Path, server: Server) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},defaultDatabase=16", password=PASSWORD)
    diagnosed(doctor, "RD-216", "DB index is out of range")


@pytest.mark.parametrize("server", [("--min-replicas-to-write", "1")], indirect=True)
def test_too_few_replicas(tmp_path: Path, server: Server) -> None:
    diagnosed(Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD), "RD-209", "NOREPLICAS")


@pytest.mark.parametrize("server", [("--save", "3600 1", "--dbfilename", "dump.rdb")], indirect=True)
def test_a_disk_that_takes_nothing(tmp_path: Path, server: Server) -> None:
    """A folder in the place of the dump makes every BGSAVE fail, as a full disk does."""
    place = Path(server.ask("CONFIG", "GET", "dir")[1].decode())
    (place / "dump.rdb").mkdir()
    (place / "dump.rdb" / "full").write_text("x")
    server.ask("SET", "x", "1")
    server.ask("BGSAVE")
    eventually(lambda: b"rdb_last_bgsave_status:err" in server.ask("INFO", "persistence"))
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
    diagnosed(doctor, "RD-206", "MISCONF")


NEEDED = (
    *("eval", "evalsha", "get", "set", "scan", "subscribe", "publish"),
    *("time", "type", "strlen", "rename", "pexpire", "sadd", "srem", "smembers", "sismember", "scard", "unlink"),
)


@pytest.mark.parametrize("denied", NEEDED)
def test_one_command_that_is_denied_is_named(denied: str, tmp_path: Path, server: Server) -> None:
    server.ask(
        "ACL",
        "SETUSER",
        "node",
        "on",
        f">{SECRET}",
        "~rppam:*",
        "&rppam:*",
        "+@all",
        "-@dangerous",
        "+info",
        f"-{denied}",
    )
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},user=node", password=SECRET)
    told = diagnosed(doctor, "RD-203", f"{denied.upper()}: ")["evidence"]
    assert told.startswith(f"user 'node': {denied.upper()}: ")
    assert told.endswith(f"User node has no permissions to run the '{denied}' command")
    assert "RD-215" not in doctor.findings(), "what a refused command did not write is no other fault"


def test_a_user_who_may_not_scan_is_not_told_of_many_keys(tmp_path: Path, server: Server) -> None:
    server.ask("ACL", "SETUSER", "node", "on", f">{SECRET}", "~rppam:*", "&rppam:*", "+@all", "-scan")
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},user=node", password=SECRET)
    told = doctor.findings()["RD-503"]
    assert "NOPERM" in told["evidence"]
    assert "SCAN is refused" in told["what"]
    assert "many keys" not in told["what"]


def test_behind_sentinel_wait_is_needed_as_well(tmp_path: Path, server: Server) -> None:
    server.ask("ACL", "SETUSER", "node", "on", f">{SECRET}", "~rppam:*", "&rppam:*", "+@all", "-wait")
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        more = f"serviceName=mymaster,user=node,sentinelUser=default,sentinelPassword={PASSWORD}"
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},{more}", password=SECRET)
        diagnosed(doctor, "RD-203", "user 'node': WAIT: NOPERM")
    alone = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},user=node", password=SECRET)
    assert "RD-203" not in alone.findings(), "a single Redis is never asked to wait"


def test_keys_outside_the_users_reach(tmp_path: Path, server: Server) -> None:
    server.ask("ACL", "SETUSER", "node", "on", f">{SECRET}", "~other:*", "&*", "+@all")
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},user=node", password=SECRET)
    diagnosed(doctor, "RD-203", "NOPERM")


@pytest.mark.parametrize("server", [("--rename-command", "EVAL", "")], indirect=True)
def test_a_needed_command_that_is_renamed(tmp_path: Path, server: Server) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
    diagnosed(doctor, "RD-215", "EVAL: ERR unknown command")


# --- TLS ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class TlsServer(Server):
    """Speaks TLS at ``tls_port`` beside its plain port."""

    tls_port: int


class PlainAuthority(Authority):
    """The authority whose ``ca.pem`` and ``ca.key`` somebody else made in ``folder``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        assert isinstance(key, EllipticCurvePrivateKey)
        self.own = Issued(load_pem_x509_certificate((folder / "ca.pem").read_bytes()), key)
        self.name = self.own.certificate.subject


def tls_server(authority: Authority, name: str, *more: str, **issue: Any) -> TlsServer:
    certificate, key = authority.issue(name, **issue)
    port = free_port()
    server = TlsServer(
        REDIS_8, "--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key,
        "--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", "no", *more,
    )  # fmt: skip
    server.tls_port = port
    return server


def over_tls(folder: Path, server: TlsServer, *, host: str = "127.0.0.1", options: str = "", **redis: Any) -> Doctor:
    port = server.tls_port
    return Doctor(folder, f"{host}:{port},{QUICK},ssl=true{options}", password=PASSWORD, **redis)


def test_an_expired_certificate(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "127.0.0.1", until=NOW - DAY / 24) as server:
        doctor = over_tls(tmp_path, server, tlsCaPath=str(authority.path))
        diagnosed(doctor, "RD-121", "expired", "valid until")


def test_an_authority_that_is_not_trusted(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "127.0.0.1") as server:
        diagnosed(over_tls(tmp_path, server), "RD-122", "issued by CN=test authority")


def test_another_authority_than_the_one_named(tmp_path: Path, authority: Authority) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with tls_server(authority, "127.0.0.1") as server:
        diagnosed(over_tls(tmp_path, server, tlsCaPath=str(Authority(other).path)), "RD-122", "127.0.0.1")


def test_an_authority_by_plain_openssl_is_believed_and_one_that_is_none_told_with_its_option(tmp_path: Path) -> None:
    (tmp_path / "empty.cnf").write_text("[req]\ndistinguished_name=dn\n[dn]\n")
    for extra, expected in ((), None), (("-config", "empty.cnf"), "RD-129"):
        made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 9"
        subprocess.run([*made.split(), "-subj", "/CN=plain", *extra], cwd=tmp_path, check=True, capture_output=True)
        issued = PlainAuthority(tmp_path)
        with tls_server(issued, "127.0.0.1") as server:
            doctor = over_tls(tmp_path, server, tlsCaPath=str(tmp_path / "ca.pem"))
            found = doctor.findings()
            assert "RD-127" not in found
            assert {code for code in found if code < "RD-2" and code != "RD-128"} == ({expected} if expected else set())
            if expected:
                assert "-addext basicConstraints=critical,CA:TRUE" in found[expected]["evidence"]


def test_a_certificate_for_another_name(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "redis.example.com") as server:
        doctor = over_tls(tmp_path, server, tlsCaPath=str(authority.path))
        diagnosed(doctor, "RD-123", "for redis.example.com")
        named = over_tls(tmp_path, server, options=",sslHost=redis.example.com", tlsCaPath=str(authority.path))
        assert not {code for code in named.findings() if code < "RD-2" and code != "RD-128"}


def test_a_server_in_cluster_mode(tmp_path: Path) -> None:
    need(REDIS_8)
    with Server(REDIS_8, "--cluster-enabled", "yes") as server:
        doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
        diagnosed(doctor, "RD-212", f"127.0.0.1:{server.port} runs in cluster mode")


def test_plain_text_against_tls(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "127.0.0.1") as server:
        port = server.tls_port
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=PASSWORD), "RD-124", f"127.0.0.1:{port}")


def test_tls_against_plain_text(tmp_path: Path, server: Server) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},ssl=true", password=PASSWORD)
    diagnosed(doctor, "RD-125", f"127.0.0.1:{server.port}")


def test_a_client_certificate_is_demanded(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "127.0.0.1", "--tls-auth-clients", "yes") as server:
        doctor = over_tls(tmp_path, server, tlsCaPath=str(authority.path))
        diagnosed(doctor, "RD-126", "client certificate")


def test_a_certificate_that_expires_soon(tmp_path: Path, authority: Authority) -> None:
    with tls_server(authority, "127.0.0.1") as server:
        doctor = over_tls(tmp_path, server, tlsCaPath=str(authority.path))
        diagnosed(doctor, "RD-128", "valid until", severity="warning")


@pytest.mark.parametrize(
    ("redis", "part"),
    [
        ({"tlsCaPath": "absent.pem"}, "tlsCaPath"),
        ({"tlsCertPath": "absent.pfx"}, "tlsCertPath"),
        ({"tlsCertPath": "rppam.config"}, "tlsCertPath"),
    ],
)
def test_files_of_tls_that_cannot_be_used(redis: dict[str, Any], part: str, tmp_path: Path) -> None:
    found = Doctor(tmp_path, f"127.0.0.1:1,{QUICK},ssl=true", password=SECRET, **redis).findings()
    assert part in found["RD-612"]["evidence"]


def test_a_client_certificate_that_has_expired(tmp_path: Path, authority: Authority) -> None:
    """Redis does not even ask for it, and yet no node would connect: it does not show what is out of date."""
    old = authority.pfx("node", password="pfx word", since=NOW - 9 * DAY, until=NOW - DAY)
    with tls_server(authority, "127.0.0.1") as server:
        named = {"tlsCaPath": str(authority.path), "tlsCertPath": str(old), "tlsCertPassword": "pfx word"}
        doctor = over_tls(tmp_path, server, **named)
        told = diagnosed(doctor, "RD-612", "redis.tlsCertPath: expected a client certificate that is valid now")
        assert "found one that expired on" in told["evidence"]
        assert "pfx word" not in doctor.text
        wrong = over_tls(tmp_path, server, **named | {"tlsCertPassword": "another word"})
        told = diagnosed(wrong, "RD-612", f"found a password that does not open {old}")
        assert "redis.tlsCertPassword" in told["evidence"]
        assert "another word" not in wrong.text


def test_an_authority_that_has_expired(tmp_path: Path) -> None:
    old = Authority(tmp_path, until=NOW - DAY)
    with tls_server(old, "127.0.0.1") as server:
        told = diagnosed(over_tls(tmp_path, server, tlsCaPath=str(old.path)), "RD-612", "redis.tlsCaPath", "expired on")
        assert str(old.path) in told["evidence"]


def test_an_authority_that_expires_soon(tmp_path: Path) -> None:
    ending = Authority(tmp_path, until=NOW + 9 * DAY)
    with tls_server(ending, "127.0.0.1") as server:
        found = over_tls(tmp_path, server, tlsCaPath=str(ending.path)).findings()
        assert f"the authority CN=test authority in {ending.path} expires in 8 days" in found["RD-613"]["evidence"]


def test_a_tls_server_that_is_no_redis(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n", tls=context) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},ssl=true", password=SECRET, tlsCaPath=str(authority.path))
        diagnosed(doctor, "RD-107", "HTTP")


# --- Sentinel ----------------------------------------------------------------------------------------------------


def test_the_port_of_a_sentinel_without_a_service_name(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        diagnosed(Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password=PASSWORD), "RD-110", "Sentinel")


def test_a_service_name_that_the_sentinels_do_not_know(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=rppam-master", password=PASSWORD)
        diagnosed(doctor, "RD-401", "'rppam-master'", "they know mymaster")


def test_a_primary_that_is_dead(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        dead = server.port
        server.kill()
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=mymaster", password=PASSWORD)
        diagnosed(doctor, "RD-405", f"127.0.0.1:{dead}", "RD-101")
        assert "RD-101" in doctor.findings()


def test_a_sentinel_that_names_a_dead_primary_beside_one_that_is_right(tmp_path: Path, server: Server) -> None:
    (tmp_path / "stale").mkdir()
    dead = free_port()
    with (
        sentinel(tmp_path / "stale", REDIS_8, dead) as stale,
        sentinel(tmp_path, REDIS_8, server.port) as port,
    ):
        places = f"127.0.0.1:{stale},127.0.0.1:{port}"
        doctor = Doctor(tmp_path, f"{places},{QUICK},serviceName=mymaster", password=PASSWORD)
        diagnosed(doctor, "RD-404", f"127.0.0.1:{stale} names 127.0.0.1:{dead}", f"names 127.0.0.1:{server.port}")
        diagnosed(doctor, "RD-405", f"the sentinels name 127.0.0.1:{dead}; RD-101 follows", severity="warning")
        assert doctor.findings()["RD-101"]["severity"] == "warning", "the other one works"
        assert "RD-317" in doctor.findings(), "and is looked at"


def test_sentinels_that_want_another_password(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port, f'requirepass "{SECRET}"') as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=mymaster", password=PASSWORD)
        told = diagnosed(doctor, "RD-402", f"127.0.0.1:{port}", "WRONGPASS")
        assert "redis.sentinelPassword" in told["fix"]
        assert "26379" not in told["fix"], "it runs and is reached"
        right = Doctor(
            tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=mymaster", password=PASSWORD, sentinelPassword=SECRET
        )
        assert "RD-402" not in right.findings()


def test_a_redis_in_the_place_of_a_sentinel(tmp_path: Path, server: Server) -> None:
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK},serviceName=mymaster", password=PASSWORD)
    told = diagnosed(doctor, "RD-402", "is a Redis, not a sentinel")
    assert "leave serviceName out" in told["fix"]


def test_sentinels_without_tls(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=mymaster,ssl=true", password=PASSWORD)
        told = diagnosed(doctor, "RD-402", f"127.0.0.1:{port}")
        assert "ssl=false" in told["fix"]


def test_a_foreign_key_in_the_place_of_ours(tmp_path: Path, server: Server) -> None:
    server.ask("LPUSH", "rppam:cluster-id", "x")
    doctor = Doctor(tmp_path, f"127.0.0.1:{server.port},{QUICK}", password=PASSWORD)
    diagnosed(doctor, "RD-217", "rppam:cluster-id", "WRONGTYPE")


def test_a_group_that_is_too_small(tmp_path: Path, server: Server) -> None:
    with sentinel(tmp_path, REDIS_8, server.port) as port:
        lost = free_port()
        places = f"127.0.0.1:{port},127.0.0.1:{lost}"
        doctor = Doctor(tmp_path, f"{places},{QUICK},serviceName=mymaster", password=PASSWORD)
        found = doctor.findings()
        assert {"RD-403", "RD-406", "RD-407", "RD-408"} <= set(found), found
        assert f"127.0.0.1:{lost}" in found["RD-403"]["evidence"]
        assert (doctor.exit, doctor.verdict) == (1, "warnings")
