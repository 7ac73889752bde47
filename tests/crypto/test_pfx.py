"""PKCS#12 files: good ones of every age, and each way of being wrong told apart in one sentence."""

import os
import ssl
import sys
import warnings
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from rppam.config.errors import ConfigValueError
from rppam.crypto.pfx import read_pfx
from rppam.kernel.secret import Secret
from tests.support.authority import Authority

PASSWORD = "pä,ss=w#rd 7"


def read(path: Path, password: str | None = PASSWORD):
    return read_pfx(
        path,
        None if password is None else Secret(password),
        setting="redis.tlsCertPath",
        password_setting="redis.tlsCertPassword",
    )


def problem(path: Path, password: str | None = PASSWORD):
    with pytest.raises(ConfigValueError) as caught:
        read(path, password)
    assert PASSWORD not in str(caught.value)
    (only,) = caught.value.problems
    return only


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def handshake(authority: Authority, client: ssl.SSLContext) -> list[bytes]:
    """The certificates that a server which demands one gets to see (DER), leaf first."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*authority.issue("server"))
    server.load_verify_locations(str(authority.path))
    server.verify_mode = ssl.CERT_REQUIRED
    client.load_verify_locations(str(authority.path))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(there, back, server_side=True)
    ours = client.wrap_bio(back, there, server_hostname="server")
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    seen = theirs.getpeercert(binary_form=True)
    assert seen is not None
    return [seen]


@pytest.mark.parametrize("password", [PASSWORD, None, "x"])
def test_a_certificate_is_shown_to_a_server_that_demands_one(authority: Authority, password: str | None) -> None:
    pfx = read(authority.pfx("node1", password=password), password)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pfx.load_into(client)
    assert handshake(authority, client)
    assert pfx.dates.subject == "CN=node1"
    assert pfx.dates.not_before < pfx.dates.not_after
    assert "node1" in repr(pfx)


def test_an_empty_password_opens_a_file_without_one(authority: Authority) -> None:
    assert read(authority.pfx(password=None), "").dates.subject == "CN=node"


def test_a_file_of_twenty_years_ago_is_read(authority: Authority) -> None:
    old = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(2048)
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())
        .build(PASSWORD.encode())
    )
    pfx = read(authority.pfx(password=PASSWORD, encryption=old))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pfx.load_into(client)
    assert handshake(authority, client)


def test_a_chain_is_put_in_order_without_root_and_strangers(authority: Authority, tmp_path: Path) -> None:
    upper = Authority(tmp_path, "upper", above=authority)
    lower = Authority(tmp_path, "lower", above=upper)
    stranger = Authority(tmp_path, "stranger", above=authority)
    file = lower.pfx("node", password=PASSWORD, chain=(authority, upper, stranger, lower))
    pfx = read(file)
    assert pfx.chain_length == 2
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pfx.load_into(client)
    assert handshake(authority, client)  # the server knows the root alone, so the chain must have been sent in order


class Watched(ssl.SSLContext):
    """Notes where a certificate comes from, and what stands there."""

    def load_cert_chain(self, certfile, keyfile=None, password=None) -> None:
        self.place = os.readlink(certfile)  # noqa: PTH115 - no such path, which is the point
        self.text = Path(certfile).read_bytes()
        super().load_cert_chain(certfile, keyfile, password)


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is Linux's")
def test_the_key_passes_through_anonymous_memory_encrypted_and_no_disk(authority: Authority) -> None:
    pfx = read(authority.pfx(password=PASSWORD))
    before = set(Path("/proc/self/fd").iterdir())
    client = Watched(ssl.PROTOCOL_TLS_CLIENT)
    pfx.load_into(client)
    assert client.place.startswith("/memfd:")
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in client.text
    assert b"BEGIN PRIVATE KEY" not in client.text
    assert set(Path("/proc/self/fd").iterdir()) == before, "it is closed and gone"


def test_a_wrong_password_is_told_from_none(authority: Authority) -> None:
    path = authority.pfx(password=PASSWORD)
    wrong = problem(path, "wrong")
    assert wrong.sentence() == (
        f"redis.tlsCertPassword: expected the password of the file that redis.tlsCertPath names; found a password that "
        f"does not open {path}. Check it with: openssl pkcs12 -in {path} -noout (add -legacy for an old file)."
    )
    assert problem(path, None).found == f"no password, and {path} needs one"


def test_a_file_without_a_key_is_named(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "no-key.pfx"
    lock = serialization.BestAvailableEncryption(PASSWORD.encode())
    certificate = authority.certify("node").certificate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path.write_bytes(pkcs12.serialize_key_and_certificates(None, None, certificate, None, lock))
    found = problem(path)
    assert found.path == "redis.tlsCertPath"
    assert found.found == f"{path}: no private key"
    assert "openssl pkcs12 -export" in found.fix


def test_a_key_without_its_certificate_is_named(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "no-certificate.pfx"
    lock = serialization.BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(None, authority.own.key, None, None, lock))
    assert problem(path).found == f"{path}: no certificate that belongs to its key"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "text in PEM form"),
        (b"GIF89a", "a certificate without a key, or something else"),
        (b"\x30", "a certificate without a key, or something else"),
        (b"\x30\x82\x01\x00\x30\x82", "a certificate without a key, or something else"),
    ],
)
def test_what_is_no_pkcs12_is_named(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "x.pfx"
    path.write_bytes(content)
    told = problem(path)
    assert (told.path, told.expected, told.found) == (
        "redis.tlsCertPath",
        "a PKCS#12 file (.pfx)",
        f"{path}: {found}",
    )


def test_a_file_that_is_cut_off_is_named(authority: Authority) -> None:
    path = authority.pfx(password=PASSWORD)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert problem(path).found == f"{path}: a PKCS#12 file that is cut off: {len(whole) // 2} of {len(whole)} bytes"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert problem(tmp_path / "absent.pfx").found == f"{tmp_path / 'absent.pfx'}: No such file or directory"
    assert problem(tmp_path).found == f"{tmp_path}: Is a directory"


def test_a_key_that_tls_refuses_is_named(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    authority = Authority(tmp_path)
    issued = authority.certify("node")
    weak = rsa.generate_private_key(65537, 1024)
    certificate = _for_key(authority, issued.certificate, weak)
    path = tmp_path / "weak.pfx"
    lock = serialization.BestAvailableEncryption(PASSWORD.encode())
    path.write_bytes(pkcs12.serialize_key_and_certificates(None, weak, certificate, None, lock))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConfigValueError, match=r"weak\.pfx: EE_KEY_TOO_SMALL\. Make a new"):
        read(path).load_into(client)


def _for_key(authority: Authority, like, key):
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(like.subject)
        .issuer_name(authority.name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(like.not_valid_before_utc)
        .not_valid_after(like.not_valid_after_utc)
        .sign(authority.own.key, hashes.SHA256())
    )
