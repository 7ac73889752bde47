"""The certificate that the REST API shows: read from PEM or PKCS#12, and read again when its files change.

Decides what is wrong with files that cannot be used, and says it with the fix; and which certificate a new connection
gets: always the newest that could be read. Connections that stand are left alone, so nobody is cut off by a renewal.
Files that changed and cannot be used are told once and read again with each look, since the reason may be gone while
the files are the same; the certificate of before goes on being shown.

What it does not promise: that the certificate is valid now, or that callers believe it. An expired one is shown all the
same, with a warning: a node that cannot be asked helps nobody.
"""

import asyncio
import logging
import os
import ssl
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from rppam.config.errors import ConfigValueError, Problem
from rppam.config.settings import ApiSettings
from rppam.crypto.certificate_expiry import expiry_warning, out_of_date, shown_date
from rppam.crypto.pfx import CertificateDates, dates_of, load_pair, read_pfx
from rppam.http.plain_at_tls import TlsContext
from rppam.kernel.clock import Clock
from rppam.kernel.files import FileStamp, file_stamp, why_not
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

_log: Final = logging.getLogger("rppam.api")

_BYTES_MAX: Final = 1024 * 1024
_CERT: Final = "api.tlsCertPath"
_KEY: Final = "api.tlsKeyPath"
_PASSWORD: Final = "api.tlsCertPassword"  # noqa: S105  # the name of a setting
_LOAD: Final = "a certificate and key that TLS can use"


class Held(NamedTuple):
    """A certificate with its key, ready to be shown."""

    load_into: Callable[[ssl.SSLContext], None]
    dates: CertificateDates
    leaf: bytes
    """The certificate itself (DER)."""


class ServedCertificate:
    """The files of ``api.tlsCertPath`` and the TLS context made of them."""

    def __init__(self, api: ApiSettings, clock: Clock) -> None:
        assert api.tls_cert_path is not None
        self.problem = ""
        """What is wrong with the files as they are now; empty when they are the ones in use."""
        self._api, self._clock = api, clock
        self._path = api.tls_cert_path
        self._stamps: tuple[FileStamp | None, ...] = ()
        """Of the files as the certificate in use was read from them."""
        self._held: Held | None = None
        self._newest: ssl.SSLContext | None = None
        self._outer: ssl.SSLContext | None = None

    @staticmethod
    def of(api: ApiSettings, clock: Clock) -> "ServedCertificate | None":
        """The one that the settings name, read; ``None`` for plain HTTP. Raises :class:`ConfigValueError`."""
        if api.tls_cert_path is None:
            return None
        made = ServedCertificate(api, clock)
        made.load()
        return made

    def load(self) -> None:
        """Read the files now. Raises :class:`ConfigValueError` when they cannot be used."""
        stamps = self._look()
        self._use(self._build(), stamps)

    @property
    def context(self) -> ssl.SSLContext:
        """For the listening sockets: it gives every new connection the newest certificate."""
        assert self._outer is not None, "loaded first"
        return self._outer

    @property
    def leaf(self) -> bytes:
        """The certificate in use (DER)."""
        assert self._held is not None, "loaded first"
        return self._held.leaf

    @property
    def not_after(self) -> WallMs:
        """When the certificate in use ends."""
        assert self._held is not None, "loaded first"
        return self._held.dates.not_after

    async def look(self) -> None:
        """See whether the files changed, and read them again if so. Never raises."""
        stamps = self._look()
        if stamps == self._stamps:
            self.problem = ""
            return
        try:
            built = await asyncio.to_thread(self._build)  # the key of a password may take a while to derive
        except Exception as error:  # noqa: BLE001 - told; what looks every second must go on
            before, why = self.problem, why_not(error)
            self.problem = f"the changed certificate of the API cannot be used, the one of before stays in use: {why}"
            if self.problem != before:
                _log.warning("%s", self.problem)
            return
        self._use(built, stamps)
        _log.info("the certificate of the API changed and was read again; new connections get it")

    def warnings(self) -> tuple[str, ...]:
        """What an administrator should put right, in sentences."""
        assert self._held is not None, "loaded first"
        dates = self._held.dates
        ending = expiry_warning(
            f"the API's certificate {self._path} ({dates.subject})",
            dates.not_after,
            self._clock.wall_ms(),
            "replace the file; the node shows the new one within seconds",
        )
        return tuple(sentence for sentence in (self.problem, ending) if sentence)

    def out_of_date(self) -> Problem | None:
        """What is wrong with the dates of the certificate in use; ``None`` when it is valid now."""
        assert self._held is not None, "loaded first"
        now, dates = self._clock.wall_ms(), self._held.dates
        found = out_of_date(dates.not_before, dates.not_after, now)
        if not found:
            return None
        expected = f"a certificate that is valid now ({shown_date(now)} by this host's clock)"
        fix = "Replace the file; the node shows the new one within seconds. Or set the clock right."
        return Problem(_CERT, expected, f"{found} in {self._path}", fix)

    def _use(self, built: tuple[Held, ssl.SSLContext], stamps: tuple[FileStamp | None, ...]) -> None:
        self._held, self._newest = built
        self._stamps, self.problem = stamps, ""
        if self._outer is None:
            self._outer = self._newest
            # Called in every handshake, with or without a name: a context of its own for each reading, since OpenSSL
            # would go on offering the old certificate beside a new one of another kind of key.
            self._outer.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self._newest is not self._outer and self._newest is not None:
            connection.context = self._newest

    def _build(self) -> tuple[Held, ssl.SSLContext]:
        held = read_held(self._path, self._api.tls_key_path, self._api.tls_cert_password)
        context = TlsContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        held.load_into(context)
        return held, context

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(file_stamp(path) for path in (self._path, self._api.tls_key_path) if path is not None)


def read_held(path: Path, key_path: Path | None, password: Secret | None) -> Held:
    """What the files hold. Raises :class:`ConfigValueError` that names the setting."""
    data = _read(path, _CERT, "a certificate with its key (PEM or .pfx)")
    if b"-----BEGIN " not in data:
        if key_path is not None:
            fix = f"Take {_KEY} out: a .pfx holds both."
            raise ConfigValueError.of(_KEY, "no key file beside a .pfx", str(key_path), fix)
        pfx = read_pfx(path, password, setting=_CERT, password_setting=_PASSWORD)
        return Held(pfx.load_into, pfx.dates, pfx.leaf)
    return _from_pem(path, data, key_path, password)


def _from_pem(path: Path, data: bytes, key_path: Path | None, password: Secret | None) -> Held:
    try:
        certificates = tuple(x509.load_pem_x509_certificates(data))
    except (ValueError, InternalError):
        fix = "Name the file with the certificate, followed by those of the authorities between."
        raise ConfigValueError.of(_CERT, "a certificate in PEM", f"{path}: none that can be read", fix) from None
    place, text = (_CERT, data) if key_path is None else (_KEY, _read(key_path, _KEY, "a private key in PEM"))
    key = _key(key_path or path, place, text, password)
    if _public(key) != _public(certificates[0]):
        found = f"the key in {key_path or path} and the first certificate in {path}, which do not belong together"
        fix = "Name the key that the certificate was made for; the certificate of this host comes first."
        raise ConfigValueError.of(place, "the key of the certificate", found, fix)

    def load_into(context: ssl.SSLContext) -> None:
        try:
            load_pair(context, certificates, key)
        except (ValueError, TypeError, ssl.SSLError) as error:
            reason = getattr(error, "reason", None) or str(error)
            fix = "Make a new one with an RSA key of 2048 bits or more, or an EC key."
            raise ConfigValueError.of(_CERT, _LOAD, f"{path}: {reason}", fix) from None

    return Held(load_into, dates_of(certificates[0]), certificates[0].public_bytes(Encoding.DER))


def _key(path: Path, setting: str, text: bytes, password: Secret | None) -> Any:
    expected = "a private key in PEM"
    if b"PRIVATE KEY-----" not in text:
        fix = f"Set {_KEY} to the file that holds the key." if setting == _CERT else "Name the file that holds the key."
        raise ConfigValueError.of(setting, expected, f"{path}: no private key", fix)
    if b"ENCRYPTED" in text and password is None:
        fix = "Set it, or take the password off the key."
        raise ConfigValueError.of(_PASSWORD, f"the password of the key in {path}", "none", fix)
    middle = text.index(b"PRIVATE KEY-----")
    begin, end = text.rfind(b"-----BEGIN ", 0, middle), text.find(b"PRIVATE KEY-----", middle + 1)
    block = text[max(0, begin) : end + len(b"PRIVATE KEY-----")] if end > 0 else text
    needed = password.reveal().encode() if password is not None and b"ENCRYPTED" in text else None
    try:
        return load_pem_private_key(block, needed)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        if needed is None:
            fix = "Copy the key again, whole."
            raise ConfigValueError.of(setting, expected, f"{path}: a key that cannot be read", fix) from None
        fix = f"Check it with: openssl pkey -in {path} -noout."
        found = "a password that does not open it"
        raise ConfigValueError.of(_PASSWORD, f"the password of the key in {path}", found, fix) from None


def _public(holder: Any) -> bytes:
    der: bytes = holder.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def _read(path: Path, setting: str, expected: str) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_BYTES_MAX + 1)
    except OSError as error:
        fix = "Name the file, and let the account that runs rppam read it."
        raise ConfigValueError.of(setting, expected, f"{path}: {error.strerror}", fix) from None
    if not 0 < len(data) <= _BYTES_MAX:
        found = "an empty file" if not data else f"more than {_BYTES_MAX} bytes"
        raise ConfigValueError.of(setting, expected, f"{path}: {found}", "Name the file of the certificate.")
    if sys.platform != "win32" and mode & 0o007 and (setting == _KEY or b"PRIVATE KEY" in data):
        found = f"{path} with mode {mode:04o}: everybody on this host can take the key"
        raise ConfigValueError.of(setting, "a key that not everybody can read", found, f"Run: chmod o= {path}")
    return data
