"""The TLS side of reaching Redis: whom to believe, what to show, and until when.

Decides which SSLContext the next connection gets: TLS 1.2 or later, the authorities of ``redis.tlsCaPath`` (else the
system's), server names checked, and the client certificate of ``redis.tlsCertPath``. The files are looked at before
every connection and read again when they changed, so a renewed certificate is in use from the next reconnect on. New
files that cannot be used are told once and read again before each connection, since the reason may be gone while the
files are the same; the old context stays in the meantime.

What it does not promise: that a live connection is renewed, or that revoked certificates are found: revocation is not
checked.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rppam.config.errors import ConfigValueError, Problem
from rppam.crypto.certificate_expiry import expiry_warning, out_of_date, shown_date
from rppam.crypto.pfx import CertificateDates, Pfx, read_pfx
from rppam.kernel.clock import Clock
from rppam.kernel.files import FileStamp, file_stamp, why_not
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.tls import trusting
from rppam.redis.errors import StoreTlsFailed

_log: Final = logging.getLogger(__name__)

AUTHORITIES_MAX: Final = 8
"""A file with more is a system's collection: no node depends on all of them, and some are always about to end."""


class TlsFiles:
    """The files that TLS to Redis is made of, and the context made of them."""

    def __init__(
        self, *, ca_path: Path | None, cert_path: Path | None, cert_password: Secret | None, clock: Clock
    ) -> None:
        self.client: CertificateDates | None = None
        """The client certificate in use; ``None`` when none is shown."""
        self.authorities: tuple[CertificateDates, ...] = ()
        """Those of ``ca_path``, the first to end first; none without that file, or where it is a collection."""
        self.problem = ""
        """What is wrong with the files as they are now; empty when they are the ones in use."""
        self.ca_path = ca_path
        self._cert_path = cert_path
        self._cert_password = cert_password
        self._clock = clock
        self._context: ssl.SSLContext | None = None
        self._believes_others = False
        """Whether there are certificates in ``ca_path`` that are no authority's."""
        self._pfx: Pfx | None = None
        self._client_pem: tuple[Pfx, tuple[bytes, str]] | None = None
        self._stamps: tuple[FileStamp | None, ...] = ()
        """Of the files as the context in use was read from them."""
        self._lock = asyncio.Lock()

    def load(self) -> ssl.SSLContext:
        """Read the files now. Raises :class:`ConfigValueError` when they cannot be used."""
        stamps = self._look()
        context, client = self._build()
        self._stamps = stamps
        self._use(context, client)
        return context

    async def current(self) -> ssl.SSLContext:
        """The context for a new connection, made anew when the files changed.

        Raises :class:`StoreTlsFailed` while the client certificate, or every authority, is expired or not yet valid,
        and :class:`ConfigValueError` when there is no usable context at all.
        """
        async with self._lock:
            stamps = self._look()
            if self._context is None or stamps != self._stamps:
                await self._reload(stamps)
            else:
                self.problem = ""
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
        now, picked_up = self._clock.wall_ms(), "it is picked up at the next connection"
        ending = self.client and expiry_warning(
            f"the client certificate {self._cert_path} ({self.client.subject})",
            self.client.not_after,
            now,
            f"replace the file; {picked_up}",
        )
        authorities = (
            expiry_warning(
                f"the authority {one.subject} in {self.ca_path}",
                one.not_after,
                now,
                f"after that day no certificate of it is accepted: put the next one's into the file, {picked_up}",
            )
            for one in self.authorities
        )
        return tuple(sentence for sentence in (self.problem, ending, *authorities) if sentence)

    def out_of_date(self) -> Problem | None:
        """What is wrong with the dates of the authorities or of the client certificate in use; ``None``: nothing.

        One authority that is valid is enough.
        """
        now = self._clock.wall_ms()
        valid = f"that is valid now ({shown_date(now)} by this host's clock)"
        ended = [out_of_date(one.not_before, one.not_after, now) for one in self.authorities]
        if ended and all(ended) and not self._believes_others:
            found = f"{ended[-1]} ({self.authorities[-1].subject}) in {self.ca_path}"
            fix = "Replace the file and what that authority signed, which needs no restart, or set the clock right."
            return Problem("redis.tlsCaPath", f"an authority {valid}", found, fix)
        found = out_of_date(self.client.not_before, self.client.not_after, now) if self.client is not None else ""
        if not found:
            return None
        fix = "Replace the file, which needs no restart, or set the clock right."
        return Problem("redis.tlsCertPath", f"a client certificate {valid}", f"{found} in {self._cert_path}", fix)

    def _use(self, context: ssl.SSLContext, client: CertificateDates | None) -> None:
        self._context, self.client = context, client
        listed = authorities_in(context) if self.ca_path is not None else ()
        self.authorities = listed if len(listed) <= AUTHORITIES_MAX else ()
        stored = context.cert_store_stats()
        self._believes_others = stored["x509"] > stored["x509_ca"]

    async def _reload(self, stamps: tuple[FileStamp | None, ...]) -> None:
        try:
            built = await asyncio.to_thread(self._build)  # the key of a password may take a while to derive
        except Exception as error:
            if self._context is None:
                raise
            before = self.problem
            self.problem = f"changed TLS files cannot be used, those read before stay in use: {why_not(error)}"
            if self.problem != before:
                _log.warning("%s", self.problem)
            return
        if self._context is not None:
            _log.info("the TLS files for Redis changed and were read again")
        self._stamps, self.problem = stamps, ""
        self._use(*built)

    def _build(self) -> tuple[ssl.SSLContext, CertificateDates | None]:
        context = self._trusting()
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
            return trusting(path)
        except (OSError, ssl.SSLError) as error:
            found = error.strerror if not isinstance(error, ssl.SSLError) else "no certificate in it"
            fix = "Name the PEM file of the authority that signed the Redis certificate."
            raise ConfigValueError.of("redis.tlsCaPath", "certificates in PEM", f"{path}: {found}", fix) from None

    def _look(self) -> tuple[FileStamp | None, ...]:
        return tuple(file_stamp(path) for path in (self.ca_path, self._cert_path) if path is not None)

    def _refuse_out_of_date(self) -> None:
        """What is out of date is refused by the server, or by OpenSSL, in words that name no file; say it here."""
        problem = self.out_of_date()
        if problem is not None:
            raise StoreTlsFailed(problem.sentence().removesuffix("."))


def authorities_in(context: ssl.SSLContext) -> tuple[CertificateDates, ...]:
    """The authorities that ``context`` believes, the first to end first. Of one that was renewed the later counts."""
    found: dict[object, CertificateDates] = {}
    listed: list[dict[str, Any]] = context.get_ca_certs()
    for one in listed:
        named = {kind: value for part in one["subject"] for kind, value in part}
        subject = f"CN={named['commonName']}" if "commonName" in named else ", ".join(named.values())
        dates = CertificateDates(subject, _wall_ms(one["notBefore"]), _wall_ms(one["notAfter"]))
        found[one["subject"]] = max(dates, found.get(one["subject"], dates), key=_end)
    return tuple(sorted(found.values(), key=_end))


def _end(dates: CertificateDates) -> WallMs:
    return dates.not_after


def _wall_ms(moment: str) -> WallMs:
    return WallMs(ssl.cert_time_to_seconds(moment) * 1000)


def server_certificate_end(certificate: Mapping[str, Any]) -> WallMs | None:
    """When the server's certificate (as ``SSLSocket.getpeercert`` gives it) ends; ``None`` without TLS."""
    until = certificate.get("notAfter")
    return _wall_ms(until) if isinstance(until, str) else None


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
