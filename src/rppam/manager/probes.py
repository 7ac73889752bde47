"""Probes for load balancers, service managers and people: no token, no secret, no I/O, and no waiting in any queue.

Metrics stand beside them, and may ask for a token (``api.metricsAccess``), which costs no I/O either.

``/system/health/leader`` is the only HTTP answer that says "I lead": its permission is computed as the very last thing
before the answer leaves. It promises nothing about the time on the way to the caller. GET, HEAD and OPTIONS get the
same status: HAProxy's check sends OPTIONS by default.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from rppam import __version__
from rppam.cluster.health.ports import NodeStatus
from rppam.http.error_middleware import send_answer
from rppam.http.errors import MethodNotAllowedError
from rppam.http.problems import Answer, json_answer, problem
from rppam.http.serving_errors import NoBackendError, NotAliveError, NotLeadingError, NotReadyError
from rppam.http.times import iso_utc
from rppam.kernel.clock import Clock
from rppam.kernel.errors import RppamError
from rppam.manager.metrics import CONTENT_TYPE, METRICS_PATH, MetricsAccess, metrics_of, metrics_text

METHODS: Final = ("GET", "HEAD", "OPTIONS")
_HEADERS: Final = {"Cache-Control": "no-store", "Allow": ", ".join(METHODS)}


class Probes:
    """Answers the probes itself and passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        status: NodeStatus,
        clock: Clock,
        node: str,
        has_backend: Callable[[], bool],
        metrics_access: MetricsAccess,
    ) -> None:
        """``has_backend``: whether Redis or the database can be asked whose session holds."""
        self._app, self._status, self._clock, self._node = app, status, clock, node
        self._has_backend, self._metrics_access = has_backend, metrics_access
        self._answers = {
            "/system/health/ping": self._ping,
            "/system/health/live": self._live,
            "/system/health/ready": self._ready,
            "/system/health/leader": self._leader,
            METRICS_PATH: self._metrics,
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request."""
        answer = self._answers.get(scope["path"]) if scope["type"] == "http" else None
        return self._app(scope, receive, send) if answer is None else self._answer(answer, scope, send)

    async def _answer(self, answer: Callable[[Scope], Answer], scope: Scope, send: Send) -> None:
        if scope["method"] not in METHODS:
            raise MethodNotAllowedError(scope["method"], METHODS)
        await send_answer(answer(scope), send)

    def _ping(self, _scope: Scope) -> Answer:
        return self._yes("ok", version=__version__, time=iso_utc(self._clock.wall_ms()))

    def _live(self, scope: Scope) -> Answer:
        if not self._status.is_alive():
            return self._no(NotAliveError(), scope)
        return self._yes("live")

    def _ready(self, scope: Scope) -> Answer:
        if not self._status.snapshot().ready:
            return self._no(NotReadyError(), scope)
        if not self._has_backend():
            return self._no(NoBackendError(), scope)
        return self._yes("ready")

    def _leader(self, scope: Scope) -> Answer:
        no = self._no(NotLeadingError(), scope)
        epoch = self._status.may_lead()
        if epoch is None:
            return no
        return self._yes("leader", epoch=epoch)

    def _metrics(self, scope: Scope) -> Answer:
        self._metrics_access.check(scope)
        seen = self._status.snapshot()
        seen = replace(seen, ready=seen.ready and self._has_backend())
        metrics = metrics_of(seen, self._status.may_lead(), self._clock.wall_ms())
        body = metrics_text(metrics)
        headers = {**_HEADERS, "Content-Type": CONTENT_TYPE, "Content-Length": str(len(body))}
        return Answer(200, [(name.lower().encode(), value.encode()) for name, value in headers.items()], body)

    def _yes(self, status: str, **facts: object) -> Answer:
        return json_answer(200, {"status": status, "node": self._node, **facts}, _HEADERS)

    def _no(self, error: RppamError, scope: Scope) -> Answer:
        answer = problem(error, instance=scope["path"], request_id=scope["state"]["request_id"])
        return Answer(answer.status, [*answer.headers, (b"allow", _HEADERS["Allow"].encode())], answer.body)
