"""A certificate with its private key out of a PKCS#12 file (``.pfx``, ``.p12``), into an SSLContext.

Python's ``ssl`` takes keys from named files only. So that no private key material lies on a disk, the PEM text is
encrypted with a password that is made up on the spot and handed over through anonymous memory (``memfd_create``, a
descriptor that is closed right after). On Windows, which has no such thing, it is a file in a private folder, equally
encrypted, that is removed at once (type-checked only; it has not been run).

Decides what is wrong with a file that cannot be used, and says it with the fix. It reads modern and old files
(AES-256, RC2/3DES), with and without a password. What it does not promise: that the certificate is valid now (see
:class:`CertificateDates`), and that the key is wiped from this process's memory: Python cannot.
"""

import os
import secrets
import ssl
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InternalError
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

from rppam.config.errors import ConfigValueError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

_BYTES_MAX: Final = 1024 * 1024
_EXPORT: Final = "openssl pkcs12 -export -inkey KEY.pem -in CERTIFICATE.pem -certfile CHAIN.pem -out FILE.pfx"
_VERSION_3: Final = b"\x02\x01\x03"


class CertificateDates(NamedTuple):
    """For whom a certificate is, and when it is valid."""

    subject: str
    not_before: WallMs
    not_after: WallMs


@dataclass(frozen=True, slots=True)
class Pfx:
    """What a PKCS#12 file holds."""

    path: Path
    setting: str
    """Name of the setting that names the file, for messages."""
    dates: CertificateDates
    _certificates: tuple[x509.Certificate, ...]
    """The leaf, then its chain without a root."""
    _key: Any

    def __repr__(self) -> str:
        return f"Pfx({str(self.path)!r}, {self.dates.subject!r})"

    @property
    def chain_length(self) -> int:
        """Certificates shown besides the leaf."""
        return len(self._certificates) - 1

    @property
    def leaf(self) -> bytes:
        """The certificate itself (DER)."""
        return self._certificates[0].public_bytes(Encoding.DER)

    def pem(self) -> tuple[bytes, str]:
        """Certificates and key as PEM, and the password that the key is encrypted with. Keep both in memory."""
        password = secrets.token_hex(24)
        text = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self._certificates)
        locked = BestAvailableEncryption(password.encode())
        return text + self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked), password

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have ``context`` show this certificate. Raises :class:`ConfigValueError`."""
        try:
            load_pair(context, self._certificates, self._key)
        except (ValueError, TypeError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or str(error)
            raise _problem(
                self.setting,
                "a certificate and key that TLS can use",
                f"{self.path}: {reason}",
                "Make a new .pfx with an RSA key of 2048 bits or more, or an EC key.",
            ) from None


def load_pair(context: ssl.SSLContext, certificates: tuple[x509.Certificate, ...], key: Any) -> None:
    """Have ``context`` show these certificates, of which the first is for ``key``.

    Raises ValueError, TypeError or ssl.SSLError when TLS cannot use them.
    """
    password = secrets.token_hex(24).encode()
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    _hand_over(context, pem, password)


def read_pfx(path: Path, password: Secret | None, *, setting: str, password_setting: str) -> Pfx:
    """The certificate, its key and its chain. Raises :class:`ConfigValueError` that names ``setting``."""
    data = _read(path, setting)
    _refuse_other_formats(data, path, setting)
    try:
        held = pkcs12.load_pkcs12(data, password.reveal().encode() if password else None)
    except (ValueError, TypeError, InternalError):
        found = f"a password that does not open {path}" if password else f"no password, and {path} needs one"
        raise _problem(
            password_setting,
            "the password of the file that " + setting + " names",
            found,
            f"Check it with: openssl pkcs12 -in {path} -noout (add -legacy for an old file).",
        ) from None
    if held.key is None or held.cert is None:
        found = "no private key" if held.key is None else "no certificate that belongs to its key"
        raise _problem(setting, "a certificate with its private key", f"{path}: {found}", f"Export both: {_EXPORT}.")
    leaf = held.cert.certificate
    chain = _chain(leaf, [other.certificate for other in held.additional_certs])
    return Pfx(path, setting, dates_of(leaf), (leaf, *chain), held.key)


def dates_of(certificate: x509.Certificate) -> CertificateDates:
    """For whom it is and when it is valid."""
    return CertificateDates(
        certificate.subject.rfc4514_string(),
        _wall_ms(certificate.not_valid_before_utc),
        _wall_ms(certificate.not_valid_after_utc),
    )


def _wall_ms(moment: datetime) -> WallMs:
    return WallMs(int(moment.timestamp() * 1000))


def _problem(setting: str, expected: str, found: str, fix: str) -> ConfigValueError:
    return ConfigValueError.of(setting, expected, found, fix)


def _read(path: Path, setting: str) -> bytes:
    expected = "a PKCS#12 file (.pfx)"
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
    except OSError as error:
        fix = "Name the file, and let the account that runs rppam read it."
        raise _problem(setting, expected, f"{path}: {error.strerror}", fix) from None
    if len(data) > _BYTES_MAX:
        raise _problem(setting, expected, f"{path}: more than {_BYTES_MAX} bytes", f"Make one: {_EXPORT}.")
    return data


def _refuse_other_formats(data: bytes, path: Path, setting: str) -> None:
    """Tell a file that is no PKCS#12 at all, or is cut off, from one with another password."""
    found = ""
    if not data:
        found = "an empty file"
    elif b"-----BEGIN " in data[:4096]:
        found = "text in PEM form"
    else:
        body, length = _der_length(data)
        if data[0] != 0x30 or data[body : body + 3] != _VERSION_3:
            found = "a certificate without a key, or something else"
        elif length is not None and len(data) < body + length:
            found = f"a PKCS#12 file that is cut off: {len(data)} of {body + length} bytes"
    if found:
        raise _problem(setting, "a PKCS#12 file (.pfx)", f"{path}: {found}", f"Make one: {_EXPORT}.")


def _der_length(data: bytes) -> tuple[int, int | None]:
    """Where the content of the outermost DER element begins, and its length (``None``: indefinite)."""
    if len(data) < 2:
        return len(data), None
    first = data[1]
    if first < 0x80:
        return 2, first
    count = first & 0x7F
    return 2 + count, int.from_bytes(data[2 : 2 + count], "big") if count else None


def _chain(leaf: x509.Certificate, others: list[x509.Certificate]) -> list[x509.Certificate]:
    """The certificates from the leaf's issuer upwards, in order. A root is left out: the server has its own."""
    by_subject = {other.subject: other for other in others if other.subject != other.issuer}
    chain: list[x509.Certificate] = []
    above = by_subject.pop(leaf.issuer, None)
    while above is not None:
        chain.append(above)
        above = by_subject.pop(above.issuer, None)
    return chain


def _hand_over(context: ssl.SSLContext, pem: bytes, password: bytes) -> None:
    """``load_cert_chain`` out of memory."""
    if sys.platform == "linux":
        handle = os.memfd_create("rppam-certificate", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(pem)
            context.load_cert_chain(f"/proc/self/fd/{handle}", password=password)
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory(prefix="rppam-") as folder:
        # Encrypted with a password that only this process knows; the folder is this account's alone.
        path = Path(folder) / "certificate.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path, password=password)
