"""What can be wrong with a request, or with answering it (RPPAM-6xxx).

``str(error)`` is what the caller reads as ``detail``; it never holds a secret, a token or what the caller sent.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.errors import Fault, Retry, RppamError

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class RequestError(RppamError, fault=Fault.CALLER, retry=Retry.NO, level="info"):
    """Base of all errors that answer a request."""

    def members(self) -> Mapping[str, object]:
        """Further members of the problem document (RFC 9457, section 3.2)."""
        return _NOTHING

    def headers(self) -> Mapping[str, str]:
        """Further headers of the answer."""
        return MappingProxyType({})


class UnauthenticatedError(RequestError, code="RPPAM-6001", retry=Retry.CALLER_DECIDES, status=401):
    """The request carries no valid access token.

    The caller hears one message; ``flaw`` is for our log.
    """

    fix = "Sign in at POST /api/v1/auth/login, or run 'rppam token' on the node; send 'Authorization: Bearer TOKEN'."

    def __init__(self, flaw: TokenFlaw) -> None:
        super().__init__("a valid access token is needed")
        self.flaw = flaw

    def headers(self) -> Mapping[str, str]:
        """The challenge of RFC 6750, section 3."""
        hint = "" if self.flaw is TokenFlaw.MISSING else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="rppam"{hint}'}


class ForbiddenError(RequestError, code="RPPAM-6002", status=403):
    """The account lacks the role that this needs."""

    fix = "Ask an administrator for the role, or sign in with an account that has it."


class NotFoundError(RequestError, code="RPPAM-6003", status=404, level="debug"):
    """Nothing is found at this address."""

    fix = "Compare the path with GET /openapi.json; it is case-sensitive and ends without a slash."


class MethodNotAllowedError(RequestError, code="RPPAM-6004", status=405, level="debug"):
    """This address does not take this method."""

    fix = "Use one of the methods in the Allow header."

    def __init__(self, method: str, allowed: Sequence[str]) -> None:
        super().__init__(f"{method} is not offered here, only {', '.join(allowed)}" if allowed else f"no {method} here")
        self._allowed = ", ".join(allowed)

    def headers(self) -> Mapping[str, str]:
        """What is allowed (RFC 9110, section 15.5.6)."""
        return {"Allow": self._allowed}


class FieldFlaw(NamedTuple):
    """One thing wrong with one field."""

    field: str
    """Where: ``body.username``."""
    message: str
    """What was expected."""
    kind: str
    """A stable word for machines."""


class InvalidRequestError(RequestError, code="RPPAM-6010", status=400, level="debug"):
    """The request is not valid."""

    fix = "Correct the fields named in 'errors'; GET /openapi.json describes each of them."

    def __init__(self, flaws: Sequence[FieldFlaw]) -> None:
        super().__init__("; ".join(f"{flaw.field}: {flaw.message}" for flaw in flaws))
        self.flaws = tuple(flaws)

    def members(self) -> Mapping[str, object]:
        """Each field with what was expected."""
        return {"errors": [flaw._asdict() for flaw in self.flaws]}


class UnreadableBodyError(RequestError, code="RPPAM-6011", status=400, level="debug"):
    """The body is not readable as JSON."""

    fix = "Send one JSON object in UTF-8, without repeated names and nested at most 16 deep."


class UnreadableRequestError(RequestError, code="RPPAM-6012", status=400):
    """The request is not valid HTTP/1.1."""

    fix = "Check the client, and what stands between it and the node."


class MediaTypeError(RequestError, code="RPPAM-6013", status=415, level="debug"):
    """The body is of a kind that is not taken here."""

    fix = "Send JSON with 'Content-Type: application/json' and no Content-Encoding."


class TooLargeError(RequestError, code="RPPAM-6014", status=413):
    """The body is too large."""

    fix = "Send less; the limit is lower without a token."

    def headers(self) -> Mapping[str, str]:
        """The rest of the body will not be read."""
        return {"Connection": "close"}


class HeadersTooLargeError(RequestError, code="RPPAM-6015", status=431):
    """The request line and headers are too large."""

    fix = "Send at most 16 KiB of them."


class HttpVersionError(RequestError, code="RPPAM-6017", status=505):
    """The request is of another version of HTTP than 1.1 and 1.0."""

    fix = "Speak HTTP/1.1 (curl --http1.1); a balancer in front may speak HTTP/2 with its callers."


class SlowRequestError(RequestError, code="RPPAM-6016", retry=Retry.YES, status=408):
    """The request did not arrive in time."""

    fix = "Send the whole body at once; check the network if you did."

    def headers(self) -> Mapping[str, str]:
        """The rest of the body will not be read."""
        return {"Connection": "close"}


class PreconditionFailedError(RequestError, code="RPPAM-6024", retry=Retry.CALLER_DECIDES, status=412):
    """It has been changed since the caller has read it, so If-Match names another revision; nothing was changed."""

    fix = "GET it again, look at what is different now, and send your change with the new ETag in If-Match."

    def __init__(self, revision: int, by: str = "", at: str = "") -> None:
        """``revision`` stands; ``by`` has changed it last, at that time; empty: not known."""
        who = f"; it was changed by {by} at {at}" if by else f"; it was changed at {at}" if at else ""
        super().__init__(f"If-Match names another revision than {revision}, which is in force{who}")
        self.revision, self.by, self.at = revision, by, at

    def members(self) -> Mapping[str, object]:
        """What stands, and who has changed it last; null where that is not known."""
        return {"revision": self.revision, "changedBy": self.by or None, "changedAt": self.at or None}

    def headers(self) -> Mapping[str, str]:
        """Its entity tag (RFC 9110, section 8.8.3)."""
        return MappingProxyType({"ETag": f'"{self.revision}"'})


class NotLeaderError(RequestError, code="RPPAM-6020", retry=Retry.CALLER_DECIDES, status=421):
    """Only the leader may do this, and this node does not lead."""

    fix = "Send the request to the leader named in 'leader' and 'leaderUrl', or through the load balancer."

    def __init__(self, node: str, leader: str | None, leader_url: str | None) -> None:
        whom = f"the leader is {leader}" if leader else "no leader is known now; try again in a few seconds"
        super().__init__(f"{node} does not lead; {whom}")
        self.node = node
        self.leader, self.leader_url = leader, leader_url

    def members(self) -> Mapping[str, object]:
        """Who leads and where it answers; null when not known."""
        return {"leader": self.leader, "leaderUrl": self.leader_url}

    def headers(self) -> Mapping[str, str]:
        """Without a leader, one is usual within a lease time."""
        return {} if self.leader else {"Retry-After": "2"}


class FencedError(
    RequestError, code="RPPAM-6021", fault=Fault.SURROUNDINGS, retry=Retry.CALLER_DECIDES, status=409, level="warning"
):
    """The write was refused because a newer leader has taken over. Nothing was changed."""

    fix = "Ask GET /system/health/cluster who leads now and send the request there."


class NodeNameTakenError(RequestError, code="RPPAM-6023", status=409):
    """A node of this name belongs to the cluster already."""

    fix = "Choose another name; GET /system/health/cluster lists the names in use."


class NoSeatError(RequestError, code="RPPAM-4101", fault=Fault.OPERATOR, status=403):
    """The licence does not let one more node join."""

    fix = "Install an Enterprise or MSP licence with a free seat (license.path) on every node."


class OutcomeUnknownError(
    RequestError, code="RPPAM-6022", fault=Fault.SURROUNDINGS, retry=Retry.IF_IDEMPOTENT, status=503, level="warning"
):
    """The database did not answer in time; the change may or may not have been made."""

    fix = "Read the value again before repeating the request; check the database if this goes on."


class BusyError(
    RequestError, code="RPPAM-6030", fault=Fault.SURROUNDINGS, retry=Retry.YES, status=503, level="warning"
):
    """The node is answering as many requests as it can."""

    fix = "Try again in a second, or another node."

    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": "1"}


class AnswerTimeoutError(
    RequestError, code="RPPAM-6031", fault=Fault.SURROUNDINGS, retry=Retry.IF_IDEMPOTENT, status=503, level="warning"
):
    """The answer took too long and was given up; a change may or may not have been made."""

    fix = "Read the value again before repeating the request; look at the node's log for what was slow."


class LeavingError(RequestError, code="RPPAM-6032", fault=Fault.SURROUNDINGS, retry=Retry.YES, status=503):
    """The node is shutting down and gave the request up."""

    fix = "Send it to another node; read the value again before repeating a change."


class UnexpectedError(
    RequestError, code="RPPAM-6500", fault=Fault.US, retry=Retry.CALLER_DECIDES, status=500, level="error"
):
    """The node met an error of its own."""

    fix = "Report it with the request id; the node's log holds the details under that id."


class RateLimitedError(RequestError, code="RPPAM-6029", retry=Retry.SLOWLY, status=429):
    """There were too many requests of this kind, or too many wrong guesses."""

    fix = "Wait as long as the Retry-After header says; an administrator can unlock the user at once."

    def __init__(self, what: str, retry_after_ms: int, further: Mapping[str, str] = MappingProxyType({})) -> None:
        """``what`` was too much, in a sentence without a secret; ``retry_after_ms`` until it can work again.

        ``further`` headers tell about the limit.
        """
        self._further = further
        self.retry_after_s = max(1, -(-retry_after_ms // 1000))
        super().__init__(f"{what}; try again in {self.retry_after_s} s")

    def members(self) -> Mapping[str, object]:
        """The wait for machines."""
        return {"retryAfterSeconds": self.retry_after_s}

    def headers(self) -> Mapping[str, str]:
        """RFC 9110, section 10.2.3."""
        return {"Retry-After": str(self.retry_after_s), **self._further}
