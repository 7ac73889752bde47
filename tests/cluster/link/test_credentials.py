"""Who holds the cluster key is known by it, whatever the wall clocks say, and nobody else."""

import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from rppam.cluster.errors import ClusterKeyUnusable
from rppam.cluster.link.credentials import Credentials, PeerName, peer_name, read_cluster_key
from rppam.kernel.secret import Secret

KEY = Secret("5b1e90aa" * 8)


def credentials(name: str, key: Secret = KEY, cluster_id: str = "cluster-001") -> Credentials:
    return Credentials(key, cluster_id=cluster_id, node_name=name)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (asking, answering):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                continue
    return asking, answering


def test_two_nodes_with_one_key_know_each_other_by_name() -> None:
    asking, answering = shake_hands(credentials("node1").client, credentials("node2").server)
    assert peer_name(asking.getpeercert()) == PeerName("cluster-001", "node2")
    assert peer_name(answering.getpeercert()) == PeerName("cluster-001", "node1")
    assert asking.version() == "TLSv1.3"


def test_a_cluster_id_is_shown_and_not_mixed_into_the_key() -> None:
    asking, _ = shake_hands(credentials("node1").client, credentials("node2", cluster_id="other").server)
    assert peer_name(asking.getpeercert()) == PeerName("other", "node2")


@pytest.mark.parametrize("first", "0f")
def test_one_other_digit_is_another_key(first: str) -> None:
    other = Secret(first + KEY.reveal()[1:])
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(credentials("node1").client, credentials("node2", other).server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(credentials("node1", other).client, credentials("node2").server)


def test_a_client_without_a_certificate_or_with_old_tls_is_refused() -> None:
    server = credentials("node2").server
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake_hands(bare, server)
    bare.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"PROTOCOL|VERSION|ALERT"):
        shake_hands(bare, server)


def test_certificates_are_valid_whatever_a_wall_clock_shows_and_new_at_each_start() -> None:
    asking, _ = shake_hands(credentials("node1").client, credentials("node2").server)
    der = asking.getpeercert(binary_form=True)
    assert der is not None
    certificate = x509.load_der_x509_certificate(der)
    assert certificate.not_valid_before_utc < datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc > datetime(9999, 12, 31, tzinfo=UTC)
    again, _ = shake_hands(credentials("node1").client, credentials("node2").server)
    assert again.getpeercert(binary_form=True) != der


@pytest.mark.parametrize("certificate", [None, {}, {"subject": ()}, {"subject": ((("commonName", "node1"),),)}])
def test_a_certificate_that_names_nobody_is_nobody(certificate: dict[str, object] | None) -> None:
    assert peer_name(certificate) is None


def test_a_certificate_that_names_two_is_nobody() -> None:
    subject = ((("organizationName", "c"),), (("commonName", "node1"),), (("commonName", "node2"),))
    assert peer_name({"subject": subject}) is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_cluster_key_is_read_with_or_without_a_line_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "cluster.key"
    path.write_bytes((KEY.reveal().upper() + end).encode())
    path.chmod(0o600)
    assert read_cluster_key(path) == KEY


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_cluster_key_of_an_older_init_is_read_as_the_same_bytes(tmp_path: Path, end: str) -> None:
    path = tmp_path / "cluster.key"
    path.write_text(base64.b64encode(bytes.fromhex(KEY.reveal())).decode() + end)
    path.chmod(0o600)
    assert read_cluster_key(path) == KEY


@pytest.mark.parametrize(
    ("content", "mode", "found"),
    [
        (None, 0o600, "no readable file (No such file or directory)"),
        ("", 0o600, "an empty file"),
        ("5b1e90aa" * 7, 0o600, "56 bytes of something else"),
        ("5b1e90aa" * 8 + "\n\n", 0o600, "66 bytes of something else"),
        ("g" * 64, 0o600, "64 bytes of something else"),
        ("x" * 10_000, 0o600, "more than 4096 bytes"),
        ("5b1e90aa" * 8, 0o640, "mode 0640"),
        ("5b1e90aa" * 8, 0o604, "mode 0604"),
    ],
)
def test_a_cluster_key_that_cannot_be_used_is_told_without_showing_it(
    tmp_path: Path, content: str | None, mode: int, found: str
) -> None:
    path = tmp_path / "cluster.key"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(ClusterKeyUnusable) as caught:
        read_cluster_key(path)
    assert f"auth.clusterKeyPath {path}: expected 64 hexadecimal digits" in str(caught.value)
    assert found in str(caught.value)
    assert "5b1e" not in str(caught.value)
