"""The TLS side of reaching Redis: whom to believe, what to show, and until when.

Decides which SSLContext the next connection gets: TLS 1.2 or later, the authorities of ``redis.tlsCaPath`` (else the
system's), server names checked, and the client certificate of ``redis.tlsCertPath``. The files are looked at before
every connection and read again when they changed, so a renewed certificate is in use from the next reconnect on. New
files that cannot be used are told, and the old context stays.

What it does not promise: that a live connection is renewed, or that revoked certificates are found: revocation is not
checked.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rppam.adapters.system.file_stamp import FileStamp, file_stamp
from rppam.adapters.system.pfx import CertificateDates, Pfx, read_pfx
from rppam.domain.certificate import expiry_warning, out_of_date, shown_date
from rppam.domain.errors.config import ConfigError, ConfigValueError, Problem
from rppam.domain.errors.store import StoreTlsFailed
from rppam.domain.instant import WallMs
from rppam.domain.secret import Secret
from rppam.ports.clock import Clock

_log: Final = logging.getLogger(__name__)


class TlsFiles:
    """The files that TLS to Redis is made of, and the context made of them."""

    def __init__(
        self, *, ca_path: Path | None, cert_path: Path | None, cert_password: Secret | None, clock: Clock
    ) -> None:
        self.client: CertificateDates | None = None
        """The client certificate in use; ``None`` when none is shown."""
        self.problem = ""
        """What is wrong with the files as they are now; empty when they are the ones in use."""
        self.ca_path = ca_path
        self._cert_path = cert_path
        self._cert_password = cert_password
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._pfx: Pfx | None = None
        self._client_pem: tuple[Pfx, tuple[bytes, str]] | None = None
        self._stamps: tuple[FileStamp | None, ...] = ()
        self._lock = asyncio.Lock()

    def load(self) -> ssl.SSLContext:
        """Read the files now. Raises :class:`ConfigValueError` when they cannot be used."""
        self._stamps = self._look()
        self._context, self.client = self._build()
        return self._context

    async def current(self) -> ssl.SSLContext:
        """The context for a new connection, made anew when the files changed.

        Raises :class:`StoreTlsFailed` while the client certificate is expired or not yet valid, and
        :class:`ConfigValueError` when there is no usable context at all.
        """
        async with self._lock:
            stamps = self._look()
            if self._context is None or stamps != self._stamps:
                await self._reload(stamps)
        assert self._context is not None
        self._refuse_out_of_date()
        return self._context

    def client_pem(self) -> tuple[bytes, str]:
        """The client certificate with its encrypted key, and the key's password; both empty when none is shown."""
        if self._pfx is None:
            return b"", ""
        if self._client_pem is None or self._client_pem[0] is not self._pfx:
            self._client_pem = (self._pfx, self._pfx.pem())  # encrypting takes a while, and it is asked for often
        return self._client_pem[1]

    def warnings(self) -> tuple[str, ...]:
        """What an administrator should put right, in sentences."""
        ending = self.client and expiry_warning(
            f"the client certificate {self._cert_path} ({self.client.subject})",
            self.client.not_after,
            self._clock.wall_ms(),
            "replace the file; it is picked up at the next connection",
        )
        return tuple(sentence for sentence in (self.problem, ending) if sentence)

    def out_of_date(self) -> Problem | None:
        """What is wrong with the dates of the client certificate in use; ``None`` when it is valid now."""
        now = self._clock.wall_ms()
        found = out_of_date(self.client.not_before, self.client.not_after, now) if self.client is not None else ""
        if not found:
            return None
        expected = f"a client certificate that is valid now ({shown_date(now)} by this host's clock)"
        fix = "Replace the file, which needs no restart, or set the clock right."
        return Problem("redis.tlsCertPath", expected, f"{found} in {self._cert_path}", fix)

    async def _reload(self, stamps: tuple[FileStamp | None, ...]) -> None:
        try:
            built = await asyncio.to_thread(self._build)  # the key of a password may take a while to derive
        except ConfigError as error:
            if self._context is None:
                raise
            self._stamps = stamps
            self.problem = f"changed TLS files cannot be used, those read before stay in use: {error}"
            _log.warning(self.problem)
            return
        if self._context is not None:
            _log.info("the TLS files for Redis changed and were read again")
        self._stamps, self.problem = stamps, ""
        self._context, self.client = built

    def _build(self) -> tuple[ssl.SSLContext, CertificateDates | None]:
        context = self._trusting()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._cert_path is None:
            return context, None
        pfx = read_pfx(
            self._cert_path,
            self._cert_password,
            setting="redis.tlsCertPath",
            password_setting="redis.tlsCertPassword",  # noqa: S106  # the name of a setting
        )
        pfx.load_into(context)
        self._pfx = pfx
        return context, pfx.dates

    def _trusting(self) -> ssl.SSLContext:
        path = self.ca_path
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            found = error.strerror if not isinstance(error, ssl.SSLError) else "no certificate in it"
            fix = "Name the PEM file of the authority that signed the Redis certificate."
            raise ConfigValueError.of("redis.tlsCaPath", "certificates in PEM", f"{path}: {found}", fix) from None

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(file_stamp(path) for path in (self.ca_path, self._cert_path) if path is not None)

    def _refuse_out_of_date(self) -> None:
        """A certificate that is out of date is refused by the server in words that name no file; say it here."""
        problem = self.out_of_date()
        if problem is not None:
            raise StoreTlsFailed(problem.sentence().removesuffix("."))


def server_certificate_end(certificate: Mapping[str, Any]) -> WallMs | None:
    """When the server's certificate (as ``SSLSocket.getpeercert`` gives it) ends; ``None`` without TLS."""
    until = certificate.get("notAfter")
    return WallMs(ssl.cert_time_to_seconds(until) * 1000) if isinstance(until, str) else None


def server_certificate_warning(address: str, certificate: Mapping[str, Any], now: WallMs) -> str:
    """A sentence when the server's certificate (as ``SSLSocket.getpeercert`` gives it) ends soon, else nothing."""
    not_after = server_certificate_end(certificate)
    if not_after is None:
        return ""
    return expiry_warning(
        f"the certificate of the server at {address}",
        not_after,
        now,
        "renew it there: after that day no node can connect",
    )
