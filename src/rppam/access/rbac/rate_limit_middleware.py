"""How often somebody may ask: smooth limits before the gate (address, all) and behind it (user, endpoint).

Decides which requests count against what. What helps to see and mend a cluster in trouble is not counted: the probes,
which are answered before, and the routes that declare so, among them changing the limits: whoever has set them so low
that nobody gets in can raise them again. How the counting is done is the affair of
:class:`rppam.limits.limiter.Limiter`; how much is allowed is the setting ``security/limits``.

Answers carry ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers) for the limit with the least
left, as of the last time that the store was asked, at most a second ago; a refusal is 429 with ``Retry-After`` as well.
"""

from collections.abc import Awaitable, Hashable
from typing import Final, Generic, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from rppam.access.sessions.model import Identity
from rppam.http.errors import RateLimitedError
from rppam.http.route_index import RouteIndex
from rppam.kernel.limit import Charge, Decision, rate_headers, subject_hash
from rppam.kernel.network import address_group
from rppam.limits.limiter import Limiter
from rppam.limits.policy import LIMITS, RequestLimits, RequestPolicy, limits_of
from rppam.settings.hot import LiveSettings

Who = TypeVar("Who", bound=Hashable)
_Asked = tuple[str | None, str, str]
"""User, method, path."""
PARTS: Final = 5
KNOWN_MAX: Final = 1_024
"""Callers, or users and paths, whose charges are remembered."""
_ALL: Final = "all"
_WHAT: Final = {
    "api-address": "too many requests from this address",
    "api-user": "too many requests of this user",
    "api-endpoint": "too many requests for this endpoint",
    "api-all": "too many requests in all",
}


class _Rates(Generic[Who]):
    def __init__(self, app: ASGIApp, *, limiter: Limiter, settings: LiveSettings, routes: RouteIndex) -> None:
        self._app, self._limiter, self._settings = app, limiter, settings
        self._uncounted = routes.uncounted
        self._policy: RequestPolicy | None = None
        self._known: dict[Who, list[Charge]] = {}
        """By the present policy."""

    def _who(self, scope: Scope) -> Who:
        raise NotImplementedError

    def _charges(self, who: Who, limits: RequestLimits) -> list[Charge]:
        raise NotImplementedError

    def _charges_of(self, scope: Scope) -> list[Charge]:
        """What the request counts against. Most requests are like one before: it is remembered, for so many."""
        policy = self._settings.current(LIMITS)
        if policy is not self._policy or len(self._known) >= KNOWN_MAX:
            self._policy, self._known = policy, {}
        who = self._who(scope)
        charges = self._known.get(who)
        if charges is None:
            charges = self._known[who] = self._charges(who, limits_of(policy))
        return charges

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request. What can be decided at once costs no coroutine of its own."""
        if scope["type"] == "http" and (scope["method"], scope["path"]) not in self._uncounted:
            charges = self._charges_of(scope)
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


class AddressRateLimit(_Rates[str]):
    """Before the gate: a flood of tokens that are none is counted, too."""

    def _who(self, scope: Scope) -> str:
        client = scope.get("client")
        return client[0] if client else "unknown"

    def _charges(self, who: str, limits: RequestLimits) -> list[Charge]:
        charges = []
        if limits.address is not None:
            charges.append(Charge(limits.address, subject_hash("address", address_group(who))))
        if limits.all is not None:
            charges.append(Charge(limits.all, _ALL))
        return charges


class UserRateLimit(_Rates[_Asked]):
    """Behind the gate, where it is known who is calling."""

    def _who(self, scope: Scope) -> _Asked:
        identity: Identity | None = scope["state"].get("identity")
        user = None if identity is None else identity.user_id or f"\0{identity.subject}"
        return user, scope["method"], scope["path"]

    def _charges(self, who: _Asked, limits: RequestLimits) -> list[Charge]:
        charges, (user, method, path) = [], who
        if limits.user is not None and user is not None:
            charges.append(Charge(limits.user, subject_hash("user", user)))
        if limits.endpoint is not None:
            place = "/".join(path.split("/", PARTS)[:PARTS])
            charges.append(Charge(limits.endpoint, subject_hash("endpoint", f"{method} {place}")))
        return charges
