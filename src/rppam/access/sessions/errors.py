"""What can be wrong with the caller's session (RPPAM-6005, 6006, 6033)."""

from collections.abc import Mapping

from rppam.http.errors import RequestError
from rppam.kernel.errors import Fault, Retry


class SessionEndedError(RequestError, code="RPPAM-6005", retry=Retry.CALLER_DECIDES, status=401):
    """The session of this access token is over."""

    fix = "Sign in again at POST /api/v1/auth/login, or run 'rppam token' on the node."

    def headers(self) -> Mapping[str, str]:
        """The challenge of RFC 6750, section 3."""
        return {"WWW-Authenticate": 'Bearer realm="rppam", error="invalid_token"'}


class CrossSiteError(RequestError, code="RPPAM-6006", status=403, level="warning"):
    """A change that relies on the console's cookie must come from the console's own pages."""

    fix = "Programs send 'Authorization: Bearer TOKEN'; a proxy in front must pass Host, Origin and Sec-Fetch-Site on."


class SessionUnknownError(
    RequestError, code="RPPAM-6033", fault=Fault.SURROUNDINGS, retry=Retry.YES, status=503, level="warning"
):
    """Whether the session still holds is unknown: neither the cache nor the database answers."""

    fix = "Try again in a second; nobody is signed out by this. GET /system/health/cluster shows what is away."

    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}
