"""What can be wrong with a request, or with answering it (RPPAM-6xxx).

``str(error)`` is what the caller reads as ``detail``; it never holds a secret, a token or what the caller sent.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.errors import ErrorRow, Fault, Retry, RppamError

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


class RequestError(RppamError):
    """Base of all errors that answer a request."""

    def members(self) -> Mapping[str, object]:
        """Further members of the problem document (RFC 9457, section 3.2)."""
        return _NOTHING

    def headers(self) -> Mapping[str, str]:
        """Further headers of the answer."""
        return MappingProxyType({})


class UnauthenticatedError(RequestError):
    """No valid access token. The caller hears one message; ``flaw`` is for our log."""

    row = ErrorRow(
        "RPPAM-6001",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "The request carries no valid access token.",
        "Sign in at POST /api/v1/auth/login or run 'rppam token' on the node, and send 'Authorization: Bearer TOKEN'.",
        status=401,
        level="info",
    )

    def __init__(self, flaw: TokenFlaw) -> None:
        super().__init__("a valid access token is needed")
        self.flaw = flaw

    def headers(self) -> Mapping[str, str]:
        """The challenge of RFC 6750, section 3."""
        hint = "" if self.flaw is TokenFlaw.MISSING else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="rppam"{hint}'}


class ForbiddenError(RequestError):
    """The token is good, its roles do not suffice."""

    row = ErrorRow(
        "RPPAM-6002",
        Fault.CALLER,
        Retry.NO,
        "The account lacks the role that this needs.",
        "Ask an administrator for the role, or sign in with an account that has it.",
        status=403,
        level="info",
    )


class NotFoundError(RequestError):
    """No such resource."""

    row = ErrorRow(
        "RPPAM-6003",
        Fault.CALLER,
        Retry.NO,
        "Nothing is found at this address.",
        "Compare the path with GET /openapi.json; it is case-sensitive and ends without a slash.",
        status=404,
        level="debug",
    )


class MethodNotAllowedError(RequestError):
    """The resource exists, the method does not."""

    row = ErrorRow(
        "RPPAM-6004",
        Fault.CALLER,
        Retry.NO,
        "This address does not take this method.",
        "Use one of the methods in the Allow header.",
        status=405,
        level="debug",
    )

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


class InvalidRequestError(RequestError):
    """The request can be read, and is wrong."""

    row = ErrorRow(
        "RPPAM-6010",
        Fault.CALLER,
        Retry.NO,
        "The request is not valid.",
        "Correct the fields named in 'errors'; GET /openapi.json describes each of them.",
        status=400,
        level="debug",
    )

    def __init__(self, flaws: Sequence[FieldFlaw]) -> None:
        super().__init__("; ".join(f"{flaw.field}: {flaw.message}" for flaw in flaws))
        self.flaws = tuple(flaws)

    def members(self) -> Mapping[str, object]:
        """Each field with what was expected."""
        return {"errors": [flaw._asdict() for flaw in self.flaws]}


class UnreadableBodyError(RequestError):
    """The body is not the JSON that it should be."""

    row = ErrorRow(
        "RPPAM-6011",
        Fault.CALLER,
        Retry.NO,
        "The body is not readable as JSON.",
        "Send one JSON object in UTF-8, without repeated names and nested at most 16 deep.",
        status=400,
        level="debug",
    )


class UnreadableRequestError(RequestError):
    """Not HTTP/1.1."""

    row = ErrorRow(
        "RPPAM-6012",
        Fault.CALLER,
        Retry.NO,
        "The request is not valid HTTP/1.1.",
        "Check the client, and what stands between it and the node.",
        status=400,
        level="info",
    )


class MediaTypeError(RequestError):
    """A body of another kind than JSON."""

    row = ErrorRow(
        "RPPAM-6013",
        Fault.CALLER,
        Retry.NO,
        "The body is of a kind that is not taken here.",
        "Send JSON with 'Content-Type: application/json' and no Content-Encoding.",
        status=415,
        level="debug",
    )


class TooLargeError(RequestError):
    """A body over the limit."""

    row = ErrorRow(
        "RPPAM-6014",
        Fault.CALLER,
        Retry.NO,
        "The body is too large.",
        "Send less; 'detail' names the limit, which is lower without a token.",
        status=413,
        level="info",
    )

    def headers(self) -> Mapping[str, str]:
        """The rest of the body will not be read."""
        return {"Connection": "close"}


class HeadersTooLargeError(RequestError):
    """A request line or headers over the limit."""

    row = ErrorRow(
        "RPPAM-6015",
        Fault.CALLER,
        Retry.NO,
        "The request line and headers are too large.",
        "Send at most 16 KiB of them.",
        status=431,
        level="info",
    )


class SlowRequestError(RequestError):
    """The body did not arrive in time."""

    row = ErrorRow(
        "RPPAM-6016",
        Fault.CALLER,
        Retry.YES,
        "The request did not arrive in time.",
        "Send the whole body at once; check the network if you did.",
        status=408,
        level="info",
    )

    def headers(self) -> Mapping[str, str]:
        """The rest of the body will not be read."""
        return {"Connection": "close"}


class NotLeaderError(RequestError):
    """Only the leader may do this, and this node is not it."""

    row = ErrorRow(
        "RPPAM-6020",
        Fault.CALLER,
        Retry.CALLER_DECIDES,
        "Only the leader may do this, and this node does not lead.",
        "Send the request to the leader named in 'leader' and 'leaderUrl', or through the load balancer.",
        status=421,
        level="info",
    )

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


class FencedError(RequestError):
    """A newer leader has written before: this node's permission was stale."""

    row = ErrorRow(
        "RPPAM-6021",
        Fault.SURROUNDINGS,
        Retry.CALLER_DECIDES,
        "The write was refused because a newer leader has taken over. Nothing was changed.",
        "Ask GET /system/health/cluster who leads now and send the request there.",
        status=409,
        level="warning",
    )


class NodeNameTakenError(RequestError):
    """A node of this name belongs to the cluster already."""

    row = ErrorRow(
        "RPPAM-6023",
        Fault.CALLER,
        Retry.NO,
        "A node of this name belongs to the cluster already.",
        "Choose another name; GET /system/health/cluster lists the names in use.",
        status=409,
        level="info",
    )


class NoSeatError(RequestError):
    """The licence has no seat for one more node."""

    row = ErrorRow(
        "RPPAM-4101",
        Fault.OPERATOR,
        Retry.NO,
        "The licence does not let one more node join.",
        "Install an Enterprise or MSP licence with a free seat (license.path) on every node.",
        status=403,
        level="info",
    )


class OutcomeUnknownError(RequestError):
    """No answer in time: it may or may not have happened."""

    row = ErrorRow(
        "RPPAM-6022",
        Fault.SURROUNDINGS,
        Retry.IF_IDEMPOTENT,
        "The database did not answer in time; the change may or may not have been made.",
        "Read the value again before repeating the request; check the database if this goes on.",
        status=503,
        level="warning",
    )


class BusyError(RequestError):
    """More requests at once than this node takes."""

    row = ErrorRow(
        "RPPAM-6030",
        Fault.SURROUNDINGS,
        Retry.YES,
        "The node is answering as many requests as it can.",
        "Try again in a second, or another node.",
        status=503,
        level="warning",
    )

    def headers(self) -> Mapping[str, str]:
        """When to come again."""
        return {"Retry-After": "1"}


class AnswerTimeoutError(RequestError):
    """The answer took longer than allowed and was given up."""

    row = ErrorRow(
        "RPPAM-6031",
        Fault.SURROUNDINGS,
        Retry.IF_IDEMPOTENT,
        "The answer took too long and was given up; a change may or may not have been made.",
        "Read the value again before repeating the request; look at the node's log for what was slow.",
        status=503,
        level="warning",
    )


class LeavingError(RequestError):
    """The node is going down."""

    row = ErrorRow(
        "RPPAM-6032",
        Fault.SURROUNDINGS,
        Retry.YES,
        "The node is shutting down and gave the request up.",
        "Send it to another node; read the value again before repeating a change.",
        status=503,
        level="info",
    )


class UnexpectedError(RequestError):
    """Our own mistake."""

    row = ErrorRow(
        "RPPAM-6500",
        Fault.US,
        Retry.CALLER_DECIDES,
        "The node met an error of its own.",
        "Report it with the request id; the node's log holds the details under that id.",
        status=500,
    )


class RateLimitedError(RequestError):
    """Too many of these."""

    row = ErrorRow(
        "RPPAM-6029",
        Fault.CALLER,
        Retry.SLOWLY,
        "There were too many requests of this kind, or too many wrong guesses.",
        "Wait as long as the Retry-After header says; an administrator can unlock the user at once.",
        status=429,
        level="info",
    )

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
