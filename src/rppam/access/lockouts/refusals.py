"""What whoever may not try to sign in is told.

Decides the words alone; who is refused decides :mod:`rppam.access.lockouts.guard`.
"""

from typing import Final

from rppam.access.lockouts.model import LockKind, Suspect
from rppam.access.lockouts.tries import Standing
from rppam.http.errors import RateLimitedError
from rppam.kernel.limit import Limit, rate_headers

LOCKED: Final = {
    LockKind.USER: "there were too many wrong passwords or codes for this user name",
    LockKind.ADDRESS: "there were too many wrong passwords or codes from this address",
}
UNPROVEN: Final = {
    LockKind.USER: "too many wrong passwords or codes are counted for this user name at the moment",
    LockKind.ADDRESS: "too many wrong passwords or codes are counted for this address at the moment",
}
_BUSY: Final = "others try to sign in with this user name or from this address right now"
_UNDER_WAY: Final = {
    LockKind.USER: "with this user name",
    LockKind.ADDRESS: "from this address",
}


def busy(suspect: Suspect, now: Standing) -> str:
    """Others are being checked."""
    if not now.running:
        return _BUSY
    lapse = f"each counts until it is over, or for {-(-now.lapses_ms // 1000)} s more where its node has died"
    return f"{_BUSY}: {now.running} tries {_UNDER_WAY[suspect.kind]} are under way, {lapse}"


def refusal(what: str, limit: Limit, wait_ms: int) -> RateLimitedError:
    """With headers of its own: those of the requests' limits, which let it through, would say that all is well."""
    return RateLimitedError(what, wait_ms, rate_headers(limit, 0, wait_ms))
