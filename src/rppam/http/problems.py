"""An error as the caller reads it: ``application/problem+json`` (RFC 9457) with the row of the error table.

Decides what of an error may leave the node: of errors that are the caller's own, their text; of all others only the
table's sentence, because their text may name hosts and paths that an unknown caller has no business to learn.
"""

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from rppam.http.errors import RequestError
from rppam.kernel.errors import Fault, RppamError

MEDIA_TYPE: Final = "application/problem+json"
_INSTANCE_CHARS: Final = 200


class Answer(NamedTuple):
    """A complete answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def problem(error: RppamError, *, instance: str, request_id: str) -> Answer:
    """The answer for ``error``; ``instance`` is the path asked for."""
    row = error.row
    status = row.status if row.status is not None else 500
    outward = isinstance(error, RequestError) or (row.fault is Fault.CALLER and status < 500)
    document: dict[str, object] = {
        "type": f"urn:rppam:error:{row.code}",
        "title": row.meaning,
        "status": status,
        "detail": (str(error) or row.meaning) if outward else row.meaning,
        "instance": instance[:_INSTANCE_CHARS],
        "code": row.code,
        "fix": row.remedy,
        "requestId": request_id,
    }
    extra: Mapping[str, str] = {}
    if isinstance(error, RequestError):
        document.update(error.members())
        extra = error.headers()
    if status == 401 and "WWW-Authenticate" not in extra:
        extra = {**extra, "WWW-Authenticate": 'Bearer realm="rppam"'}
    return json_answer(status, document, {"Content-Type": MEDIA_TYPE, **extra})


def json_answer(status: int, document: Mapping[str, object], headers: Mapping[str, str]) -> Answer:
    """``document`` as the body. ASCII only: also half a surrogate pair that a caller sent comes out as valid JSON."""
    body = json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    named = {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}
    return Answer(status, [(name.lower().encode(), value.encode("latin-1")) for name, value in named.items()], body)
