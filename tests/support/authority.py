"""A certificate authority that lives for one test: certificates, keys and PKCS#12 files."""

import datetime
import ipaddress
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Issued:
    """One certificate with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class Authority:
    """Its certificate stands at ``path``. ``above`` signs it; without one it signs itself."""

    def __init__(
        self,
        folder: Path,
        name: str = "test authority",
        above: "Authority | None" = None,
        *,
        until: datetime.datetime = NOW + 400 * DAY,
    ) -> None:
        self.folder = folder
        self.own: Issued
        key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(above.name if above else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 400 * DAY)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, key_cert_sign=True, crl_sign=True, encipher_only=False,
                              decipher_only=False),
                critical=True,
            )
            .sign(above.own.key if above else key, hashes.SHA256())
        )  # fmt: skip
        self.own = Issued(certificate, key)
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(self.own.pem())

    def certify(
        self, name: str, *, since: datetime.datetime = NOW - 2 * DAY, until: datetime.datetime = NOW + DAY
    ) -> Issued:
        """A certificate for ``name`` (and for 127.0.0.1 if it is that)."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative: x509.GeneralName = x509.DNSName(name)
        if name[0].isdigit():
            alternative = x509.IPAddress(ipaddress.ip_address(name))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.own.key.public_key()), critical=False
            )
            .sign(self.own.key, hashes.SHA256())
        )
        return Issued(certificate, key)

    def issue(self, name: str, **dates: datetime.datetime) -> tuple[str, str]:
        """Paths of a certificate for ``name`` and of its key."""
        issued = self.certify(name, **dates)
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(issued.pem())
        paths[1].write_bytes(issued.key_pem())
        return str(paths[0]), str(paths[1])

    def pfx(
        self,
        name: str = "node",
        *,
        password: str | None = "p\u00e4ss",
        chain: "tuple[Authority, ...]" = (),
        encryption: Any = None,
        file: str = "client.pfx",
        **dates: datetime.datetime,
    ) -> Path:
        """A PKCS#12 file with a certificate for ``name``, its key, and these authorities."""
        issued = self.certify(name, **dates)
        if encryption is None:
            encryption = (
                serialization.NoEncryption()
                if password is None
                else serialization.BestAvailableEncryption(password.encode())
            )
        others = [authority.own.certificate for authority in chain]
        path = self.folder / file
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(b"x", issued.key, issued.certificate, others, encryption)
        )
        return path
