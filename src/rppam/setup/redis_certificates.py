"""A small authority of its own for one Redis set-up: certificates for each server, and one for the nodes.

EC keys (P-256), SHA-256. The authority lasts ten years, what it signs 825 days, the longest that common clients accept;
the doctor and health warn 30 days ahead. Keys are written as PKCS#8; the nodes' certificate also as PKCS#12 (.pfx) with
a password. What it does not do: revocation. Keep ``authority/ca.key`` off the servers.
"""

import datetime
from ipaddress import ip_address
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rppam.kernel.instant import WallMs
from rppam.kernel.network import is_address
from rppam.kernel.secret import Secret

AUTHORITY_DAYS: Final = 3_650
CERTIFICATE_DAYS: Final = 825
_AUTHORITY_NAME: Final = "RP-PAM Redis authority"


class Issued(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates."""

    def __init__(self, issued: Issued, now: WallMs) -> None:
        """From PEM. Raises :class:`ValueError` when certificate and key do not fit each other."""
        self.issued = issued
        self._now = datetime.datetime.fromtimestamp(now // 1000, datetime.UTC)
        self._certificate = x509.load_pem_x509_certificate(issued.certificate)
        key = load_pem_private_key(issued.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise ValueError("the authority's certificate and key do not belong together")
        self._key = key

    @classmethod
    def make(cls, now: WallMs) -> "Authority":
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _AUTHORITY_NAME)])
        begin = datetime.datetime.fromtimestamp(now // 1000, datetime.UTC)
        builder = (
            _builder(name, name, key.public_key(), begin, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(key, hashes.SHA256())
        return cls(Issued(certificate.public_bytes(Encoding.PEM), _pem(key)), now)

    def for_server(self, names: tuple[str, ...]) -> Issued:
        """For a Redis that is reached by any of ``names``. It is a client as well, of its primary."""
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._sign(names[0], names, usages)[0]

    def for_nodes(self, password: Secret) -> tuple[Issued, bytes]:
        """For the nodes: PEM, and the same as PKCS#12."""
        issued, certificate, key = self._sign("rppam-node", (), [ExtendedKeyUsageOID.CLIENT_AUTH])
        pfx = pkcs12.serialize_key_and_certificates(
            b"rppam-node", key, certificate, [self._certificate], BestAvailableEncryption(password.reveal().encode())
        )
        return issued, pfx

    def _sign(
        self, name: str, alternatives: tuple[str, ...], usages: list[x509.ObjectIdentifier]
    ) -> tuple[Issued, x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), self._now, CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_alternative(one) for one in alternatives]), critical=False
            )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(Encoding.PEM), _pem(key)), certificate, key


def names_of(certificate: bytes) -> set[str]:
    """The names that a certificate in PEM is made for. Raises :class:`ValueError`."""
    found = x509.load_pem_x509_certificate(certificate)
    try:
        alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(entry.value) for entry in alternative}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - datetime.timedelta(hours=1))  # clocks of other hosts may be a little behind
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if is_address(name) else x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
