"""TLS with certificates made here: accepted, and each way of being refused told apart."""

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rppam.domain.errors.store import StoreClosed, StoreConnectTimeout, StoreError, StoreProtocol, StoreTlsFailed
from tests.contract.servers import SERVERS, Server, ServerKind, free_port
from tests.integration.redis.conftest import MakeLink, Open, eventually

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority that lives for one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, key_cert_sign=True, crl_sign=True, encipher_only=False,
                              decipher_only=False),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )  # fmt: skip
        self.path = folder / "ca.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, until: datetime.datetime = NOW + DAY) -> tuple[str, str]:
        """Paths of a certificate for ``name`` (and 127.0.0.1 if it is that) and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: x509.GeneralName = x509.DNSName(name)
        if name[0].isdigit():
            alternative = x509.IPAddress(ipaddress.ip_address(name))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(paths[0]), str(paths[1])


def words(authority: Authority, name: str, port: int, *, clients: str = "no", **issue: datetime.datetime) -> list[str]:
    """Command line of a server that speaks TLS on ``port``."""
    certificate, key = authority.issue(name, **issue)
    return [
        *("--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key),
        *("--tls-ca-cert-file", str(authority.path), "--tls-auth-clients", clients),
    ]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=[kind for kind in SERVERS if kind.has_tls], ids=str)
def kind(request: pytest.FixtureRequest) -> ServerKind:
    found: ServerKind = request.param
    if found.find() is None:
        pytest.skip(found.remedy)
    return found


async def test_tls_with_a_client_certificate(kind: ServerKind, authority: Authority, open_: Open) -> None:
    port = free_port()
    with Server(kind, *words(authority, "127.0.0.1", port, clients="yes")):
        context = ssl.create_default_context(cafile=str(authority.path))
        context.load_cert_chain(*authority.issue("node"))
        connection = await open_(port, ssl=context)
        value = bytes(range(256)) * 40_000
        assert await connection.command("SET", "a", value, timeout_ms=5000) == b"OK"
        assert await connection.command("GET", "a", timeout_ms=5000) == value
        await connection.close()
        with pytest.raises(StoreTlsFailed, match="tlsCertPath"):
            await open_(port, ssl=ssl.create_default_context(cafile=str(authority.path)))
        stranger = ssl.create_default_context(cafile=str(authority.path))
        (authority.folder / "other").mkdir()
        stranger.load_cert_chain(*Authority(authority.folder / "other").issue("stranger"))
        with pytest.raises(StoreTlsFailed, match="does not accept our client certificate"):
            await open_(port, ssl=stranger)


async def test_certificates_that_are_not_trusted_are_told_apart(
    kind: ServerKind, authority: Authority, open_: Open
) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "redis.example", port)):
        assert await open_(port, ssl=context, server_hostname="redis.example")
        with pytest.raises(StoreTlsFailed, match="sslHost"):
            await open_(port, ssl=context)
        with pytest.raises(StoreTlsFailed, match="signed by a trusted authority"):
            await open_(port, ssl=ssl.create_default_context(), server_hostname="redis.example")
    port = free_port()
    with (
        Server(kind, *words(authority, "127.0.0.1", port, until=NOW - DAY)),
        pytest.raises(StoreTlsFailed, match="expired"),
    ):
        await open_(port, ssl=context)


async def test_tls_and_plain_that_meet_are_named(kind: ServerKind, authority: Authority, open_: Open) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "127.0.0.1", port)) as server:
        with pytest.raises(StoreError) as plain_to_tls:
            await open_(port, connect_timeout_ms=500)
        assert isinstance(plain_to_tls.value, StoreProtocol | StoreClosed)
        assert "TLS" in str(plain_to_tls.value)
        with pytest.raises(StoreError) as tls_to_plain:
            await open_(server.port, ssl=context, connect_timeout_ms=500)
        assert isinstance(tls_to_plain.value, StoreProtocol | StoreClosed | StoreConnectTimeout)
        assert "TLS" in str(tls_to_plain.value)


async def test_a_link_over_tls_comes_back(kind: ServerKind, authority: Authority, make_link: MakeLink) -> None:
    port = free_port()
    context = ssl.create_default_context(cafile=str(authority.path))
    with Server(kind, *words(authority, "127.0.0.1", port)) as server:
        link = make_link(port, ssl=context)
        await link.start()
        first = link.connection
        assert first is not None
        server.restart()
        await eventually(lambda: link.connection is not None and link.connection.number > first.number)
        assert await link.command("PING") == b"PONG"
