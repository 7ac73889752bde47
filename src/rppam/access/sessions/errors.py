"""What can be wrong with the caller's session (RPPAM-6005, 6006, 6033)."""

from collections.abc import Mapping

from rppam.http.errors import RequestError
from rppam.kernel.errors import ErrorRow, Fault, Retry


class SessionEndedError(RequestError):
    """The token is genuine, its session is over."""

    row = ErrorRow(
        "RPPAM-6005",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "The session of this access token is over.",
        "Sign in again at POST /api/v1/auth/login, or run 'rppam token' on the node.",
        status=401,
        level="info",
    )

    def headers(self) -> Mapping[str, str]:
        """The challenge of RFC 6750, section 3."""
        return {"WWW-Authenticate": 'Bearer realm="rppam", error="invalid_token"'}


class CrossSiteError(RequestError):
    """A change was asked for with the console's cookie, and not by a page of the console."""

    row = ErrorRow(
        "RPPAM-6006",
        Fault.CALLER,
        Retry.NO,
        "A change that relies on the console's cookie must come from the console's own pages.",
        "Programs send 'Authorization: Bearer TOKEN'; a proxy in front must pass Host, Origin and Sec-Fetch-Site on.",
        status=403,
        level="warning",
    )


class SessionUnknownError(RequestError):
    """Neither the cache nor the database tells whether the caller's session still holds."""

    row = ErrorRow(
        "RPPAM-6033",
        Fault.SURROUNDINGS,
        Retry.YES,
        "Nobody can tell now whether the session still holds: neither the cache nor the database answers.",
        "Try again in a second; nobody is signed out by this. GET /system/health/cluster still answers, with what is "
        "away.",
        status=503,
        level="warning",
    )

    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": "1"}
