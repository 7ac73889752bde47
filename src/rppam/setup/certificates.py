"""A small authority of its own: certificates for the API, for Redis, and for those who ask Redis.

EC keys (P-256), SHA-256. The authority lasts ten years, what it signs 825 days, the longest that common clients accept;
the doctor and health warn 30 days ahead. Keys are written as PKCS#8; a client's certificate for Redis as PKCS#12 (.pfx)
with a password. Everything is made so that the strictest checkers take it (RFC 5280: key usage, identifiers of keys).
What it does not do: revocation. Keep the authority's key off the servers.
"""

import datetime
from collections.abc import Sequence
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
SERVER: Final = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT: Final = (ExtendedKeyUsageOID.CLIENT_AUTH,)
_REDIS_AUTHORITY: Final = "RP-PAM Redis authority"


class Issued(NamedTuple):
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes

    def pfx(self, password: Secret, authority: x509.Certificate) -> bytes:
        """The same as PKCS#12, with the certificate of the authority."""
        certificate, key = x509.load_pem_x509_certificate(self.certificate), private_key(self.key)
        encryption = BestAvailableEncryption(password.reveal().encode())
        return pkcs12.serialize_key_and_certificates(b"rppam", key, certificate, [authority], encryption)


class Authority:
    """Signs certificates."""

    def __init__(self, issued: Issued, now: WallMs) -> None:
        """From PEM. Raises :class:`ValueError` when certificate and key do not fit each other."""
        self.issued = issued
        self._now = _moment(now)
        self.certificate = x509.load_pem_x509_certificate(issued.certificate)
        self._key = private_key(issued.key)
        if self._key.public_key() != self.certificate.public_key():
            raise ValueError("the authority's certificate and key do not belong together")

    @classmethod
    def make(
        cls, now: WallMs, *, name: str = _REDIS_AUTHORITY, days: int = AUTHORITY_DAYS, key: bytes | None = None
    ) -> "Authority":
        """A new one; with ``key`` that of before for longer, and what it has signed stays valid."""
        signing = ec.generate_private_key(ec.SECP256R1()) if key is None else private_key(key)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(subject, subject, signing.public_key(), _moment(now), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        certificate = builder.sign(signing, hashes.SHA256())
        return cls(Issued(certificate.public_bytes(Encoding.PEM), _pem(signing)), now)

    def for_server(self, names: tuple[str, ...]) -> Issued:
        """For a Redis that is reached by any of ``names``. It is a client as well, of its primary."""
        return self.sign(names[0], names, (*SERVER, *CLIENT))

    def for_nodes(self, password: Secret) -> tuple[Issued, bytes]:
        """For the nodes: PEM, and the same as PKCS#12."""
        issued = self.sign("rppam-node", (), CLIENT)
        return issued, issued.pfx(password, self.certificate)

    def sign(
        self,
        name: str,
        alternatives: Sequence[str],
        usages: Sequence[x509.ObjectIdentifier],
        *,
        days: int = CERTIFICATE_DAYS,
        key: bytes | None = None,
    ) -> Issued:
        """A certificate for ``name``; with ``key`` for that one, else for a new one."""
        held = ec.generate_private_key(ec.SECP256R1()) if key is None else private_key(key)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        builder = (
            _builder(subject, self.certificate.subject, held.public_key(), self._now, days)
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
        return Issued(certificate.public_bytes(Encoding.PEM), _pem(held))


def private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """An EC key. Raises :class:`ValueError` for another kind, or one with a password."""
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError("a key with a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("a key of another kind than EC")  # noqa: TRY004 - what a file holds, no mistake of a caller
    return key


def names_of(certificate: bytes) -> set[str]:
    """The names that a certificate in PEM is made for. Raises :class:`ValueError`."""
    return set(alternatives_of(x509.load_pem_x509_certificate(certificate)))


def alternatives_of(certificate: x509.Certificate) -> list[str]:
    """The names that a certificate is made for, in its order."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(entry.value) for entry in alternative]


def usages_of(certificate: x509.Certificate) -> tuple[x509.ObjectIdentifier, ...]:
    """What a certificate may be used for."""
    try:
        return tuple(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()


def common_name(certificate: x509.Certificate) -> str:
    """The subject's common name; empty when there is none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _moment(now: WallMs) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now // 1000, datetime.UTC)


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
