"""Orders that are for another node than the one that was asked: every node takes them, and hands them on.

Decides whom a caller's token may be sent to: a node that the member link reaches on that very host, as addresses of the
API stand in Redis. And which answers of the other node are passed on as they are. A request that was handed on once is
not handed on again, so two nodes that disagree about who leads cannot send it to and fro.
"""

import logging
from typing import Any, Final

from fastapi import Request
from fastapi.responses import JSONResponse

from rppam.api.credentials import credential
from rppam.api.parts import ApiParts
from rppam.api.problems import MEDIA_TYPE
from rppam.api.shapes import OrderTaken
from rppam.domain.errors.administration import NodeAnswersWrongly
from rppam.domain.secret import Secret
from rppam.ports.relay import FORWARDED, HandedOn, Passed

_OWN_AFFAIRS: Final = frozenset({401, 408, 413, 415, 431, 500, 502, 504})
"""What such a status says is between the two nodes: the caller could do nothing about it."""
_LOG: Final = logging.getLogger("rppam.api")
_CHARS_MAX: Final = 200


def was_handed_on(request: Request) -> bool:
    """Whether another node sent it here."""
    return FORWARDED in request.headers


def may_go_on(request: Request, node: str, url: str, parts: ApiParts) -> bool:
    """Whether the request may go on to ``node`` at ``url``."""
    if was_handed_on(request):
        return False
    members = parts.status.snapshot().members
    return any((one.node, one.api_url) == (node, url) and one.is_at_url for one in members)


async def hand_on(request: Request, body: object, node: str, url: str, parts: ApiParts) -> OrderTaken | JSONResponse:
    """The answer of ``node`` at ``url`` to this very request.

    Raises :class:`NodeAnswersWrongly`, and as :meth:`rppam.ports.relay.Relay.hand_on`.
    """
    request_id: str = request.state.request_id
    _LOG.info("%s is for %s and goes on to %s (request %s)", request.url.path, node, url, request_id)
    order = HandedOn(
        node,
        url.rstrip("/"),
        request.method,
        request.url.path,
        body,
        Secret(credential(request.scope).token),
        request_id,
    )
    passed = await parts.relay.hand_on(order)
    told: dict[str, Any] = passed.body if isinstance(passed.body, dict) else {}
    if passed.status == 200 and isinstance(told.get("said"), str):
        return OrderTaken(said=told["said"], node=str(told.get("node", node)))
    if 400 <= passed.status < 600 and passed.status not in _OWN_AFFAIRS and isinstance(told.get("code"), str):
        return JSONResponse(told, passed.status, media_type=MEDIA_TYPE)
    raise NodeAnswersWrongly(
        f"{parts.node} handed the order on to {node} at {order.base}; expected its answer, found {_found(passed)}",
        node,
        order.base,
    )


def _found(passed: Passed) -> str:
    told = passed.body if isinstance(passed.body, dict) else {}
    words = [str(told[name])[:_CHARS_MAX] for name in ("code", "detail") if isinstance(told.get(name), str)]
    return f"HTTP status {passed.status}" + (f" ({': '.join(words)})" if words else ", which no RP-PAM node answers")
