"""What keeps the REST API from starting (RPPAM-61xx), what its probes answer (RPPAM-62xx), and who may
read its metrics (RPPAM-3130, RPPAM-3131)."""

from typing import ClassVar

from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError
from rppam.kernel.exits import Exit


class ListenError(RppamError):
    """The REST API cannot open its port."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6101",
        Fault.OPERATOR,
        Retry.NO,
        "The REST API cannot listen on its address.",
        "Free the port or set another one in the config; 'ss -ltnp' shows who holds it.",
        exit=Exit.CONFIGURATION,
    )


class SigningKeyError(RppamError):
    """The keys that sign access tokens are missing, unreadable or unsafe."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6102",
        Fault.OPERATOR,
        Retry.NO,
        "The keys that sign access tokens cannot be used.",
        "Restore the directory auth.jwtKeysDir from another node of the cluster, or let 'rppam init' write it.",
        exit=Exit.CONFIGURATION,
    )


class MetricsTokenError(RppamError):
    """A scraper without the token of metrics."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-3130",
        Fault.CALLER,
        Retry.NO,
        "The request does not carry the token that this node asks for before it shows metrics.",
        "Send 'Authorization: Bearer TOKEN' with the value of api.metricsToken; Prometheus: authorization with "
        "credentials_file.",
        status=401,
        level="info",
    )


class MetricsElsewhereError(RppamError):
    """A scraper on another host, where metrics are for the own host alone."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-3131",
        Fault.CALLER,
        Retry.NO,
        "This node shows metrics to callers on its own host alone.",
        "Scrape from the host itself, or set api.metricsAccess to token.",
        status=403,
        level="info",
    )


class NotAliveError(RppamError):
    """Probe answer: the node's own loop does not turn."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6201",
        Fault.PLATFORM,
        Retry.YES,
        "The node's own loop does not turn.",
        "Restart the node; look at its log and at the load of the host.",
        status=503,
        level="warning",
    )


class NotReadyError(RppamError):
    """Probe answer: no requests here, please."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6202",
        Fault.OPERATOR,
        Retry.YES,
        "The node takes no new requests: it is starting, shutting down or in maintenance.",
        "Send requests to another node.",
        status=503,
        level="debug",
    )


class NoFootingError(RppamError):
    """Probe answer: this node cannot tell whose session holds."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6204",
        Fault.SURROUNDINGS,
        Retry.YES,
        "Neither Redis nor the database has answered this node for some seconds, so nearly all requests would fail.",
        "Send requests to another node; GET /system/health/cluster tells why Redis and the database are away.",
        status=503,
        level="debug",
    )


class NotLeadingError(RppamError):
    """Probe answer: this node has no permission to lead now."""

    row: ClassVar[ErrorRow] = ErrorRow(
        "RPPAM-6203",
        Fault.SURROUNDINGS,
        Retry.YES,
        "The node does not lead now.",
        "Ask the other nodes; GET /system/health/cluster names the leader.",
        status=503,
        level="debug",
    )
