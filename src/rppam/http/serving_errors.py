"""What keeps the REST API from starting (RPPAM-61xx), what its probes answer (RPPAM-62xx), and who may
read its metrics (RPPAM-3130, RPPAM-3131)."""

from rppam.catalogue.table import ROWS
from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class ListenError(
    RppamError, code="RPPAM-6101", problem=ROWS["RD-608"], fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.CONFIGURATION
):
    """The REST API cannot open its port."""


class SigningKeyError(
    RppamError, code="RPPAM-6102", problem=ROWS["RD-603"], fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.CONFIGURATION
):
    """The keys that sign access tokens are missing, unreadable or unsafe."""


class MetricsTokenError(RppamError, code="RPPAM-3130", fault=Fault.CALLER, retry=Retry.NO, status=401, level="info"):
    """The request does not carry the token that this node asks for before it shows metrics."""

    fix = "Send 'Authorization: Bearer TOKEN' with the value of api.metricsToken (Prometheus: credentials_file)."


class MetricsElsewhereError(
    RppamError, code="RPPAM-3131", fault=Fault.CALLER, retry=Retry.NO, status=403, level="info"
):
    """This node shows metrics to callers on its own host alone."""

    fix = "Scrape from the host itself, or set api.metricsAccess to token."


class ProbeError(RppamError, fault=Fault.SURROUNDINGS, retry=Retry.YES, status=503, level="debug"):
    """A probe's answer when it is no."""


class NotAliveError(ProbeError, code="RPPAM-6201", fault=Fault.PLATFORM, level="warning"):
    """The node's own loop does not turn."""

    fix = "Restart the node; look at its log and at the load of the host."


class NotReadyError(ProbeError, code="RPPAM-6202", fault=Fault.OPERATOR):
    """The node takes no new requests: it is starting, shutting down or in maintenance."""

    fix = "Send requests to another node."


class NoBackendError(ProbeError, code="RPPAM-6204"):
    """Neither Redis nor the database has answered for some seconds; nearly all requests would fail."""

    fix = "Send requests to another node; GET /system/health/cluster tells why Redis and the database are away."


class NotLeadingError(ProbeError, code="RPPAM-6203"):
    """The node does not lead now."""

    fix = "Ask the other nodes; GET /system/health/cluster names the leader."
