"""The certificate files that a config names, looked at before a node starts with them.

Decides which of them a node would read, and has them read by those who read them in the node, so that the words are the
same. A certificate that is out of date is a problem here, though a node starts with it: it is of no use to anybody.
What it does not promise: that the account which runs the node may read what this account may.
"""

from collections.abc import Iterator

from rppam.config.errors import ConfigError, Problem
from rppam.config.settings import ApiSettings, RedisSettings, Settings
from rppam.http.served_certificate import ServedCertificate
from rppam.kernel.clock import Clock
from rppam.redis.tls import TlsFiles


class CertificateFiles:
    """One look at the files; what is only worth a warning is kept."""

    def __init__(self, clock: Clock) -> None:
        self.warnings: tuple[str, ...] = ()
        """Certificates that end soon, in sentences, of the last look."""
        self._clock = clock

    def problems_of(self, settings: Settings) -> tuple[Problem, ...]:
        """Everything for which a node could not use them."""
        self.warnings = ()
        return (*self._of_redis(settings.redis), *self._of_api(settings.api))

    def _of_redis(self, redis: RedisSettings) -> Iterator[Problem]:
        """The authorities and the client certificate each by themselves, to tell what is wrong with both."""
        # Without a connection the string is wrong, and may be meant to have TLS.
        if not redis.enabled or not (redis.tls_enabled or redis.connection is None):
            return
        if redis.tls_ca_path is not None:
            authorities = TlsFiles(ca_path=redis.tls_ca_path, cert_path=None, cert_password=None, clock=self._clock)
            yield from _wrong_in(authorities)
            self._keep(authorities)
        if redis.tls_cert_path is not None:
            client = TlsFiles(
                ca_path=None, cert_path=redis.tls_cert_path, cert_password=redis.tls_cert_password, clock=self._clock
            )
            yield from _wrong_in(client)
            self._keep(client)

    def _of_api(self, api: ApiSettings) -> Iterator[Problem]:
        try:
            served = ServedCertificate.of(api, self._clock)
        except ConfigError as error:
            yield from error.problems
            return
        if served is not None:
            yield from filter(None, (served.out_of_date(),))
            self._keep(served)

    def _keep(self, files: TlsFiles | ServedCertificate) -> None:
        """Its warnings, unless they say again what is a problem."""
        if files.out_of_date() is None:
            self.warnings += files.warnings()


def _wrong_in(files: TlsFiles) -> tuple[Problem, ...]:
    try:
        files.load()
    except ConfigError as error:
        return error.problems
    return tuple(filter(None, (files.out_of_date(),)))
