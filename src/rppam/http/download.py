"""A long answer of a node, piece by piece, for commands that write it to a file or a terminal.

It blocks: commands have nothing else to do meanwhile. What it does not promise: that an answer is whole; what says so
stands in the answer itself.
"""

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from rppam.http.client import TRY_ANOTHER, NoAnswerError, refusal
from rppam.http.trust import Trust
from rppam.kernel.secret import Secret

PIECE_BYTES: Final = 64 * 1024
WAIT_S: Final = 30.0
_REFUSAL_BYTES_MAX: Final = 64 * 1024


def pieces(url: str, token: Secret, trust: Trust, body: Mapping[str, object] | None = None) -> Iterator[bytes]:
    """GET ``url``, or POST ``body`` to it. Raises :class:`NoAnswerError`, also for an answer that is a refusal."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    at = f"{parts.scheme}://{parts.netloc}"
    where = f"{parts.path}?{parts.query}" if parts.query else parts.path
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=WAIT_S, context=trust.context(url))
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=WAIT_S)
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            trust.check(url, connection.sock.getpeercert(binary_form=True))
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        if body is None:
            connection.request("GET", where, headers=headers)
        else:
            connection.request("POST", where, json.dumps(body), headers | {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise NoAnswerError(_refusal(at, answer))
        while piece := answer.read1(PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"{at}: {getattr(error, 'strerror', None) or error}. {TRY_ANOTHER}") from None
    finally:
        connection.close()


def _refusal(at: str, answer: http.client.HTTPResponse) -> str:
    body: object = None
    with suppress(ValueError):
        body = json.loads(answer.read(_REFUSAL_BYTES_MAX))
    return refusal(at, answer.status, body)
