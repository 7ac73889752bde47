"""What can be wrong with an act that must happen once (RPPAM-8801 and on)."""

from collections.abc import Mapping

from rppam.http.errors import RequestError
from rppam.kernel.errors import Retry


class KeyReused(RequestError, code="RPPAM-8801", retry=Retry.NO, status=409):
    """The Idempotency-Key belongs to another request."""

    fix = "Make a new key for each act; only the very same request is sent again with the same key."


class ActUnderWay(RequestError, code="RPPAM-8802", retry=Retry.YES, status=409):
    """A request with this Idempotency-Key is being worked on, or its node has just died."""

    fix = "Send the very same request again until it is answered; it is done once."

    def headers(self) -> Mapping[str, str]:
        """When to ask again."""
        return {"Retry-After": "2"}


class AnswerLost(RequestError, code="RPPAM-8803", retry=Retry.NO, status=409):
    """The act was done; its answer was not kept."""

    fix = "Do not send it again: look at what it was done to, or for its event in the audit record."


class KeyInvalid(RequestError, code="RPPAM-8804", retry=Retry.NO, status=400):
    """The Idempotency-Key cannot be one."""

    fix = "Send 8 to 64 of the characters A-Z, a-z, 0-9, - and _, made by chance."
