"""A folder with an authority and what it signed: made, issued, renewed, without ever losing a file.

``ca.pem`` and ``ca.key`` are the authority; ``NAME.pem`` with ``NAME.key`` is a server, ``NAME.pfx`` with
``NAME.password`` a client of Redis. Keys are private (0600) from the first byte, every file is whole or not there, and
all belong to the owner of the folder, also where root writes. A renewal keeps names, purpose and key, so it replaces
one file and no reader meets halves that do not fit; with a new key the key comes first, and a node shows the pair of
before until both are there.

What it does not do: tell the services. A node reads its files by itself; of Redis see the docs.
"""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from rppam.cli.files import own_as, write_private
from rppam.config.endpoint import NotAnEndpointError, parse_host
from rppam.crypto.certificate_expiry import days_left
from rppam.kernel.instant import WallMs
from rppam.kernel.network import is_address
from rppam.kernel.secret import Secret
from rppam.setup.certificates import (
    AUTHORITY_DAYS,
    CERTIFICATE_DAYS,
    CLIENT,
    SERVER,
    Authority,
    Issued,
    alternatives_of,
    common_name,
    private_key,
    usages_of,
)
from rppam.setup.errors import CertificateFilesError
from rppam.setup.redis_wishes import new_password

AUTHORITY: Final = "ca"
PURPOSES: Final = {
    "api": SERVER,
    "redis": (*SERVER, *CLIENT),
    "node": CLIENT,
    "witness": CLIENT,
}
"""Whom a certificate is for: the API of a node, a Redis or sentinel, a node or a witness that asks Redis."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME_FIX: Final = "Write letters, digits, hyphens and dots, such as node1.example.com, or an address; each by itself."
_HOST_NAME: Final = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,62}\.?)+")


class Made(NamedTuple):
    """One certificate as it stands now."""

    name: str
    written: tuple[Path, ...]
    """Files that are new or replaced; empty when everything stood there already."""
    names: tuple[str, ...]
    until_ms: WallMs


class TlsFolder:
    """The files below ``folder``. Everything raises :class:`CertificateFilesError`, and :class:`OSError`."""

    def __init__(self, folder: Path, now: WallMs) -> None:
        self._folder, self._now = folder, now

    def make_authority(self, name: str, days: int = AUTHORITY_DAYS) -> Made:
        """A new authority; the one that stands there is kept."""
        if not self._path(AUTHORITY, "pem").exists() and not self._path(AUTHORITY, "key").exists():
            self._make_folder()
            made = Authority.make(self._now, name=name, days=days)
            return self._put(AUTHORITY, made.issued, made.certificate)
        return self._made(AUTHORITY, (), self._authority().certificate)

    def issue(
        self, names: tuple[str, ...], purpose: str, *, file: str = "", days: int = CERTIFICATE_DAYS, force: bool = False
    ) -> Made:
        """A certificate for ``names``, the first of which is its subject, unless the very same stands there."""
        file = file or names[0].replace("*", "any").replace(":", "-")
        self._refuse_names(names, file)
        names = tuple(dict.fromkeys(str(ip_address(name)) if is_address(name) else name for name in names))
        authority, usages = self._authority(), PURPOSES[purpose]
        alternatives = names if usages != CLIENT else ()
        present = self._present(file)
        if present is not None and not force:
            held = present.certificate
            if tuple(alternatives_of(held)) == alternatives and usages_of(held) == usages == present.usages(usages):
                return self._made(file, (), held)
            raise CertificateFilesError(
                f"{present.path} stands there already, for {', '.join(alternatives_of(held)) or common_name(held)}; "
                "--force replaces it, --out gives another name of the file, rppam tls renew keeps what it is for"
            )
        issued = authority.sign(names[0], alternatives, usages, days=days)
        certificate = x509.load_pem_x509_certificate(issued.certificate)
        if usages == CLIENT:
            return self._put_pfx(file, issued, certificate, new_password(), with_password=True)
        return self._put(file, issued, certificate)

    def renew(self, file: str, days: int | None = None, *, new_key: bool = False) -> Made:
        """The same certificate for longer: names, purpose and, unless ``new_key``, key stay."""
        if file == AUTHORITY:
            return self._renew_authority(days or AUTHORITY_DAYS)
        held = self._present(file)
        if held is None:
            raise CertificateFilesError(f"there is neither {file}.pem nor {file}.pfx in {self._folder}")
        authority = self._authority()
        if held.certificate.issuer != authority.certificate.subject:
            raise CertificateFilesError(f"{held.path} was not issued by the authority {self._path(AUTHORITY, 'pem')}")
        issued = authority.sign(
            common_name(held.certificate),
            alternatives_of(held.certificate),
            usages_of(held.certificate),
            days=days or CERTIFICATE_DAYS,
            key=None if new_key else held.key,
        )
        certificate = x509.load_pem_x509_certificate(issued.certificate)
        if held.password is not None:
            return self._put_pfx(file, issued, certificate, held.password, with_password=False)
        return self._put(file, issued, certificate, with_key=new_key)

    def all(self) -> list[Made]:
        """Every certificate in the folder that this authority signed, and its own, the first to end first."""
        return sorted((self._made(name, (), held) for name, held in self._all()), key=lambda one: one.until_ms)

    def due(self, within_days: int) -> list[str]:
        """Those that end within so many days."""
        return [one.name for one in self.all() if days_left(one.until_ms, self._now) <= within_days]

    def _all(self) -> Iterator[tuple[str, x509.Certificate]]:
        own = self._authority().certificate
        yield AUTHORITY, own
        for path in sorted((*self._folder.glob("*.pem"), *self._folder.glob("*.pfx"))):
            if path.stem != AUTHORITY and (held := self._present(path.stem)) and held.certificate.issuer == own.subject:
                yield path.stem, held.certificate

    def _authority(self) -> Authority:
        certificate, key = self._path(AUTHORITY, "pem"), self._path(AUTHORITY, "key")
        try:
            return Authority(Issued(certificate.read_bytes(), key.read_bytes()), self._now)
        except FileNotFoundError as error:
            raise CertificateFilesError(
                f"{error.filename} is not there; make the authority with: rppam tls ca --dir {self._folder}, or name "
                "the folder that has it"
            ) from None
        except ValueError as error:
            raise CertificateFilesError(
                f"{certificate} and {key}: expected an authority that rppam tls ca made, found {error}"
            ) from None

    def _renew_authority(self, days: int) -> Made:
        before = self._authority()
        made = Authority.make(self._now, name=common_name(before.certificate), days=days, key=before.issued.key)
        return self._put(AUTHORITY, made.issued, made.certificate, with_key=False)

    def _present(self, file: str) -> "_Held | None":
        pem, key = self._path(file, "pem"), self._path(file, "key")
        pfx, password = self._path(file, "pfx"), self._path(file, "password")
        path = pem if pem.exists() else pfx
        try:
            if pem.exists():
                certificate, secret = x509.load_pem_x509_certificate(pem.read_bytes()), key.read_bytes()
                private_key(secret)
                return _Held(pem, certificate, secret, None)
            if pfx.exists():
                opened = Secret(password.read_text(encoding="ascii").strip())
                return _Held(pfx, *_from_pfx(pfx.read_bytes(), opened), opened)
        except FileNotFoundError as error:
            raise CertificateFilesError(f"{path}: {error.filename}, which belongs to it, is not there") from None
        except ValueError as error:
            raise CertificateFilesError(f"{path}: expected what rppam tls issue made, found {error}") from None
        return None

    def _put(self, file: str, issued: Issued, certificate: x509.Certificate, *, with_key: bool = True) -> Made:
        written = [self._write(self._path(file, "key"), issued.key)] if with_key else []
        written.append(self._write(self._path(file, "pem"), issued.certificate, mode=0o644))
        return self._made(file, tuple(written), certificate)

    def _put_pfx(
        self, file: str, issued: Issued, certificate: x509.Certificate, password: Secret, *, with_password: bool
    ) -> Made:
        written = []
        if with_password:
            written.append(self._write(self._path(file, "password"), password.reveal().encode() + b"\n"))
        written.append(self._write(self._path(file, "pfx"), issued.pfx(password, self._authority().certificate)))
        return self._made(file, tuple(written), certificate)

    def _write(self, path: Path, content: bytes, *, mode: int = 0o600) -> Path:
        write_private(path, content, mode=mode, like=self._folder)
        return path

    def _make_folder(self) -> None:
        folder = self._folder.absolute()
        if not folder.exists():
            folder.mkdir(mode=0o755, parents=True)
            own_as(folder.parent, folder)

    def _made(self, file: str, written: tuple[Path, ...], certificate: x509.Certificate) -> Made:
        until = WallMs(int(certificate.not_valid_after_utc.timestamp() * 1000))
        return Made(file, written, tuple(alternatives_of(certificate)) or (common_name(certificate),), until)

    def _path(self, file: str, kind: str) -> Path:
        return self._folder / f"{file}.{kind}"

    def _refuse_names(self, names: tuple[str, ...], file: str) -> None:
        for name in (name for name in names if not is_address(name)):
            if not _HOST_NAME.fullmatch(name):
                raise CertificateFilesError(f"expected host names or addresses, found {name!r}. {_NAME_FIX}")
            try:
                parse_host(name.removeprefix("*."))  # what ends in a number reads as an address everywhere
            except NotAnEndpointError as error:
                raise CertificateFilesError(f"expected host names or addresses, found {name!r}: {error}") from None
        if not _FILE_NAME.fullmatch(file) or file == AUTHORITY:
            raise CertificateFilesError(f"expected another name of the file than {file!r}; choose one with --out")


class _Held(NamedTuple):
    """A certificate in the folder, with its key."""

    path: Path
    certificate: x509.Certificate
    key: bytes
    password: Secret | None

    def usages(self, wished: tuple[x509.ObjectIdentifier, ...]) -> tuple[x509.ObjectIdentifier, ...]:
        """``wished``, where the kind of the file goes with it."""
        return wished if (self.password is not None) == (wished == CLIENT) else ()


def _from_pfx(data: bytes, password: Secret) -> tuple[x509.Certificate, bytes]:
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat

    key, certificate, _others = pkcs12.load_key_and_certificates(data, password.reveal().encode())
    if key is None or certificate is None:
        raise ValueError("a file without a key or certificate")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private_key(pem)
    return certificate, pem
