"""What the system reports becomes the right class and a sentence with the fix."""

import errno
import os
import socket
import ssl

import pytest

from rppam.redis.connect import explain
from rppam.redis.errors import (
    StoreClosed,
    StoreConnectTimeout,
    StoreError,
    StoreNameUnknown,
    StoreNoRoute,
    StoreNoSocket,
    StoreProtocol,
    StoreRefused,
    StoreTlsFailed,
)
from rppam.redis.options import Target

TARGET = Target(host="redis.example", port=6379)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] text")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "expected", "fix"),
    [
        (os_error(errno.ECONNREFUSED), StoreRefused, "bind"),
        (os_error(errno.ETIMEDOUT), StoreConnectTimeout, "firewall"),
        (TimeoutError(), StoreConnectTimeout, "firewall"),
        (os_error(errno.EHOSTUNREACH), StoreNoRoute, "routes"),
        (os_error(errno.ENETUNREACH), StoreNoRoute, "routes"),
        (os_error(errno.EACCES), StoreNoRoute, "firewall"),
        (os_error(errno.EMFILE), StoreNoSocket, "LimitNOFILE"),
        (os_error(errno.ENFILE), StoreNoSocket, "open"),
        (os_error(errno.EAFNOSUPPORT), StoreNoSocket, "the other kind"),
        (os_error(errno.ECONNRESET), StoreClosed, "TLS"),
        (os_error(errno.EPIPE), StoreClosed, "TLS"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), StoreNameUnknown, "DNS"),
        (UnicodeError("label too long"), StoreNameUnknown, "DNS"),
        (tls_error("WRONG_VERSION_NUMBER"), StoreProtocol, "ssl=false"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), StoreTlsFailed, "tlsCertPath"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), StoreTlsFailed, "tlsCertPath"),
        (tls_error("NO_SHARED_CIPHER"), StoreTlsFailed, "sslProtocols"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), StoreClosed, "restarts"),
    ],
)
def test_each_failure_has_its_sentence(error: Exception, expected: type[StoreError], fix: str) -> None:
    explained = explain(TARGET, error)
    assert type(explained) is expected
    assert fix in str(explained)
    assert "redis.example" in str(explained)
    assert explained.surely_not_run


def test_of_this_host_nobody_is_told_to_listen_elsewhere() -> None:
    here = Target(host="127.0.0.1", port=6379)
    assert str(explain(here, os_error(errno.ECONNREFUSED))).endswith("check that Redis runs there")


@pytest.mark.parametrize(
    ("number", "said", "sentence"),
    [
        (10, "certificate has expired", "certificate has expired; renew it on the server;"),
        (9, "certificate is not yet valid", "certificate is not yet valid; check the clocks of both hosts,"),
        (64, "IP address mismatch, certificate is not valid for '10.0.1.20'.", "for '10.0.1.20'; connect by"),
    ],
)
def test_a_certificate_that_is_refused_is_told_in_one_clean_sentence(number: int, said: str, sentence: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = number, said
    assert sentence in str(explain(TARGET, error))
