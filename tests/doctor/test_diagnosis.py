"""Each recognised failure by name: error class, words and second look in, code out."""

import pytest

from rppam.catalogue.table import ROWS
from rppam.doctor.diagnosis import _ALIKE, PortProbe, code_of, failure_finding
from rppam.kernel.errors import coded
from rppam.redis.errors import (
    StoreClosed,
    StoreConnectTimeout,
    StoreDown,
    StoreError,
    StoreLoading,
    StoreMasterDown,
    StoreMisconfigured,
    StoreNameUnknown,
    StoreNoAuth,
    StoreNoGreeting,
    StoreNoPermission,
    StoreNoRoute,
    StoreNoScript,
    StoreNoSocket,
    StoreNotReplicated,
    StoreOutOfMemory,
    StoreOverloaded,
    StoreProtocol,
    StorePushFlood,
    StoreReadOnly,
    StoreRefused,
    StoreReplyTooLarge,
    StoreReplyUnforeseen,
    StoreSilent,
    StoreTlsFailed,
    StoreTooOld,
    StoreWrongPassword,
    StoreWrongType,
)

NOTHING = PortProbe()
OPEN = PortProbe(is_open=True)
REDIS = PortProbe(is_open=True, said=b"-NOAUTH Authentication required.\r\n")
HTTP = PortProbe(is_open=True, said=b"HTTP/1.1 400 Bad Request\r\n")
OTHER = PortProbe(is_open=True, said=b"SSH-2.0-OpenSSH_9\r\n")
TLS = PortProbe(is_open=True, speaks_tls=True, certificate="for redis")


@pytest.mark.parametrize(
    ("error", "with_tls", "seen", "code"),
    [
        (StoreRefused("x"), False, NOTHING, "RD-101"),
        (StoreConnectTimeout("x"), False, NOTHING, "RD-102"),
        (StoreNameUnknown("x"), False, NOTHING, "RD-103"),
        (StoreNoGreeting("x"), False, NOTHING, "RD-105"),
        (StoreNoRoute("x"), False, NOTHING, "RD-104"),
        (StoreNoSocket("x"), True, NOTHING, "RD-112"),
        (StoreReplyTooLarge("x"), False, NOTHING, "RD-114"),
        (StorePushFlood("x"), False, NOTHING, "RD-115"),
        (StoreConnectTimeout("x"), False, OPEN, "RD-105"),
        (StoreConnectTimeout("x"), False, REDIS, "RD-105"),
        *(
            (late("x"), False, PortProbe(is_open=True, said=said), "RD-105")
            for late in (StoreConnectTimeout, StoreNoGreeting)
            for said in (
                b"%7\r\n$6\r\nserv",
                b"$9999\r\n",
                b"+PO",
                b":1",
                b"*3\r\n",
                b"~2\r\n",
                b"_",
                b"#",
                b",1",
                b"(1",
                b"=9\r\n",
                b">2\r\n",
                b"!9\r\n",
            )
        ),
        *(
            (late("x"), with_tls, seen, code)
            for late in (StoreConnectTimeout, StoreNoGreeting)
            for with_tls, seen, code in (
                (False, HTTP, "RD-107"),
                (False, OTHER, "RD-108"),
                (False, TLS, "RD-124"),
                (True, REDIS, "RD-125"),
            )
        ),
        (StoreClosed("x"), False, OPEN, "RD-106"),
        (StoreClosed("x"), False, TLS, "RD-124"),
        (StoreClosed("x"), True, REDIS, "RD-125"),
        (StoreProtocol("x speaks HTTP, not Redis"), False, NOTHING, "RD-107"),
        (StoreProtocol("x"), False, OTHER, "RD-108"),
        (StoreProtocol("x speaks TLS; set ssl=true"), False, NOTHING, "RD-124"),
        (StoreProtocol("x does not speak TLS (WRONG_VERSION_NUMBER)"), True, REDIS, "RD-125"),
        (StoreProtocol("x does not speak TLS (WRONG_VERSION_NUMBER)"), True, HTTP, "RD-107"),
        (StoreProtocol("x is a Redis Sentinel, not a Redis"), False, REDIS, "RD-110"),
        (StoreTooOld("x"), False, REDIS, "RD-109"),
        (StoreTlsFailed("x", raw="certificate verify failed: certificate has expired"), True, TLS, "RD-121"),
        (StoreTlsFailed("x", raw="certificate is not yet valid"), True, TLS, "RD-121"),
        (StoreTlsFailed("x", raw="unable to get local issuer certificate"), True, TLS, "RD-122"),
        (StoreTlsFailed("x", raw="self-signed certificate in certificate chain"), True, TLS, "RD-122"),
        (StoreTlsFailed("x", raw="Hostname mismatch, certificate is not valid for 'a'"), True, TLS, "RD-123"),
        (StoreTlsFailed("x", raw="IP address mismatch, certificate is not valid for '1'"), True, TLS, "RD-123"),
        (StoreTlsFailed("x", raw="TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, TLS, "RD-126"),
        (StoreTlsFailed("x", raw="something else"), True, TLS, "RD-127"),
        (StoreTlsFailed("redis.tlsCertPath: expected a client certificate that is valid now"), True, NOTHING, "RD-612"),
        (StoreNoAuth("x"), False, NOTHING, "RD-201"),
        (StoreWrongPassword("x"), False, NOTHING, "RD-202"),
        (StoreNoPermission("x"), False, NOTHING, "RD-203"),
        (StoreLoading("x"), False, NOTHING, "RD-204"),
        (StoreReadOnly("x"), False, NOTHING, "RD-205"),
        (StoreMisconfigured("x"), False, NOTHING, "RD-206"),
        (StoreOutOfMemory("x"), False, NOTHING, "RD-207"),
        (StoreMasterDown("x"), False, NOTHING, "RD-208"),
        (StoreWrongType("x"), False, NOTHING, "RD-217"),
        (StoreDown("the sentinels moved 'x' from a to b"), False, NOTHING, "RD-411"),
    ],
)
def test_each_failure_has_a_name(error: StoreError, with_tls: bool, seen: PortProbe, code: str) -> None:
    assert code_of(error, with_tls=with_tls, seen=seen) == code
    assert code in ROWS


def test_every_error_of_the_store_is_sorted() -> None:
    ours = [leaf for leaf in coded(StoreError) if leaf.__module__.startswith("rppam.")]
    never_of_a_connection = {StoreOverloaded, StoreNoScript, StoreReplyUnforeseen, StoreNotReplicated}
    sorted_here = never_of_a_connection | set(_ALIKE)
    assert {leaf.__name__ for leaf in ours if not leaf.row.finding and leaf not in sorted_here} == set()
    assert {leaf.__name__ for leaf in _ALIKE if leaf.row.finding} == set(), "its row says which finding it is"
    assert set(_ALIKE.values()) <= set(ROWS)


def down(cause: BaseException | None) -> StoreDown:
    error = StoreDown("no connection to Redis")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (StoreWrongPassword("x"), "RD-202"),
        (StoreSilent("x"), "RD-111"),
        (down(StoreRefused("x")), "RD-101"),
        (down(None), "RD-411"),
        (ZeroDivisionError("nobody foresaw this"), "RD-113"),
    ],
)
def test_what_a_connection_is_down_for_is_what_is_told(cause: BaseException, code: str) -> None:
    assert code_of(down(cause), with_tls=False) == code
    assert code in ROWS


def test_the_evidence_is_what_was_seen() -> None:
    expired = failure_finding(StoreTlsFailed("not accepted", raw="certificate has expired"), with_tls=True, seen=TLS)
    assert expired.evidence == "not accepted. Its certificate: for redis"
    web = failure_finding(StoreClosed("it closed"), with_tls=False, seen=HTTP)
    assert (web.code, web.evidence) == ("RD-107", "it closed. It says: 'HTTP/1.1 400 Bad Request'")
