"""How often somebody may ask: smooth limits before the gate (address, all) and behind it (user, endpoint).

Decides which requests count against what. What helps to see and mend a cluster in trouble is not counted: the probes,
which are answered before, and the routes that declare so, among them changing the limits: whoever has set them so low
that nobody gets in can raise them again. How the counting is done is the affair of
:class:`rppam.limits.limiter.Limiter`; how much is allowed is the setting ``security/limits``.

Answers carry ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers) for the limit with the least
left, as of the last time that the store was asked, at most a second ago; a refusal is 429 with ``Retry-After`` as well.
"""

from collections.abc import Awaitable
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from rppam.access.sessions.model import Identity
from rppam.http.errors import RateLimitedError
from rppam.http.route_index import RouteIndex
from rppam.kernel.limit import Charge, Decision, rate_headers, subject_hash
from rppam.kernel.network import address_group
from rppam.limits.limiter import Limiter
from rppam.limits.policy import LIMITS, RequestLimits, limits_of
from rppam.settings.hot import LiveSettings

PARTS: Final = 5
_ALL: Final = "all"
_WHAT: Final = {
    "api-address": "too many requests from this address",
    "api-user": "too many requests of this user",
    "api-endpoint": "too many requests for this endpoint",
    "api-all": "too many requests in all",
}


class _Rates:
    def __init__(self, app: ASGIApp, *, limiter: Limiter, settings: LiveSettings, routes: RouteIndex) -> None:
        self._app, self._limiter, self._settings = app, limiter, settings
        self._uncounted = routes.uncounted

    def _charges(self, scope: Scope, limits: RequestLimits) -> list[Charge]:
        raise NotImplementedError

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. What can be decided at once costs no coroutine of its own."""
        if scope["type"] == "http" and (scope["method"], scope["path"]) not in self._uncounted:
            charges = self._charges(scope, limits_of(self._settings.current(LIMITS)))
            if charges:
                decision = self._limiter.near(charges)
                if decision is None:
                    return self._ask_first(charges, scope, receive, send)
                self._heed(decision, scope)
        return self._app(scope, receive, send)

    async def _ask_first(self, charges: list[Charge], scope: Scope, receive: Receive, send: Send) -> None:
        self._heed(await self._limiter.take(charges), scope)
        await self._app(scope, receive, send)

    def _heed(self, decision: Decision, scope: Scope) -> None:
        if not decision.allowed:
            headers = rate_headers(decision.limit, decision.remaining, decision.reset_after_ms)
            raise RateLimitedError(_WHAT[decision.limit.name], decision.retry_after_ms, headers)
        before: Decision | None = scope["state"].get("rate")
        if before is None or decision.remaining < before.remaining:
            scope["state"]["rate"] = decision


class AddressRateLimit(_Rates):
    """Before the gate: a flood of tokens that are none is counted, too."""

    def _charges(self, scope: Scope, limits: RequestLimits) -> list[Charge]:
        charges = []
        if limits.address is not None:
            client = scope.get("client")
            charges.append(Charge(limits.address, _address(client[0] if client else "unknown")))
        if limits.all is not None:
            charges.append(Charge(limits.all, _ALL))
        return charges


class UserRateLimit(_Rates):
    """Behind the gate, where it is known who is calling."""

    def _charges(self, scope: Scope, limits: RequestLimits) -> list[Charge]:
        charges = []
        identity: Identity | None = scope["state"].get("identity")
        if limits.user is not None and identity is not None:
            charges.append(Charge(limits.user, _user(identity.user_id or f"\0{identity.subject}")))
        if limits.endpoint is not None:
            path = "/".join(scope["path"].split("/", PARTS)[:PARTS])
            charges.append(Charge(limits.endpoint, _endpoint(f"{scope['method']} {path}")))
        return charges


# Hashing is dearer than looking up; the number of what is remembered is bounded.
@lru_cache(maxsize=4096)
def _address(client: str) -> str:
    return subject_hash("address", address_group(client))


@lru_cache(maxsize=4096)
def _user(user_id: str) -> str:
    return subject_hash("user", user_id)


@lru_cache(maxsize=1024)
def _endpoint(text: str) -> str:
    return subject_hash("endpoint", text)
