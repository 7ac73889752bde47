"""The guard before every check of a password or a code (:class:`rppam.ports.guard.LoginGuard`).

Decides who may try. A try is charged before it is checked, against the user name and the address, and given back when
it was right: so guesses in parallel count, and right ones cost nothing. Wrong ones are counted beside that; the last
one that the policy allows locks, in SQL, and SQL is asked before every try. So a lockout holds on every node, and no
loss of Redis ends it. Tries that only wait for others to be checked wait here, a while.

Counts are in Redis for all nodes. While Redis is away, and without Redis, they are in SQL: slower, and as exact. While
SQL is away nobody can sign in anyway.

What it does not promise: that what was counted in Redis, and locked nobody yet, outlives Redis; nor that, while some
processes reach Redis and others do not, the two counts together let in no more than one would. A process that dies
leaves its running tries charged for a window.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from rppam.domain.cached import CacheKey, Kind
from rppam.domain.errors.database import DatabaseError
from rppam.domain.errors.request import RateLimitedError
from rppam.domain.errors.store import StoreError
from rppam.domain.instant import US_PER_MS, Instant, after
from rppam.domain.limit import Charge, Decision, Limit, Shape, rate_headers
from rppam.domain.lockout import MINUTE_MS, LockKind, Lockout, LockoutPolicy, Suspect, address_suspect, user_suspect
from rppam.ports.cache import SharedCache
from rppam.ports.clock import Clock
from rppam.ports.limits import LimitStore
from rppam.ports.lockouts import LockoutStore
from rppam.ports.settings import HotSettings
from rppam.services.lockout_policy import LOCKOUT

log = logging.getLogger("rppam.guard")

KNOWN_MS: Final = 2_000
"""A lockout read from SQL is believed so long; so an unlock is known everywhere within that, heard of or not."""
KNOWN_MAX: Final = 10_000
WAIT_MS: Final = 5_000
"""A try waits so long for others of the same user or address that are being checked."""
POLL_MS: Final = 200
WAITERS_MAX: Final = 64
_SENTENCES: Final = {
    LockKind.USER: "there were too many wrong passwords or codes for this user name",
    LockKind.ADDRESS: "there were too many wrong passwords or codes from this address",
}
_BUSY: Final = "others try to sign in with this user name or from this address right now"


class Limits(NamedTuple):
    """What one suspect is charged against."""

    tries: Limit
    """Tries that run or were wrong."""
    failures: Limit
    """Those that were wrong."""


def limits_for(kind: LockKind, policy: LockoutPolicy) -> Limits:
    """The limits of one kind of suspect."""
    events = policy.user_failures if kind is LockKind.USER else policy.address_failures
    period_ms = policy.window_minutes * MINUTE_MS
    return Limits(
        Limit(f"login-{kind.value}", Shape.WINDOW, events, period_ms),
        Limit(f"login-{kind.value}-wrong", Shape.WINDOW, events, period_ms),
    )


class _Known(NamedTuple):
    """A lockout, as this process knows it."""

    kind: LockKind
    until: Instant
    believed_until: Instant


class Guard:
    """See the module. One for each process."""

    def __init__(
        self,
        shared: LimitStore | None,
        counters: LimitStore,
        lockouts: LockoutStore,
        settings: HotSettings,
        cache: SharedCache,
        clock: Clock,
    ) -> None:
        """``shared`` is Redis, ``counters`` is SQL."""
        self._shared, self._counters, self._lockouts = shared, counters, lockouts
        self._settings, self._clock = settings, clock
        self._known: dict[str, _Known] = {}
        self._unlocks = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        cache.on_change(self._changed)

    async def enter(self, username: str, client: str) -> "Try":
        """See the port. Also raises a ``DatabaseError`` when nobody can tell."""
        return await self._let_in((user_suspect(username), address_suspect(client)))

    def refuse_known(self, client: str) -> None:
        """See the port."""
        self._refuse_known((address_suspect(client),))

    async def count_stranger(self, client: str) -> None:
        """See the port. Also raises a ``DatabaseError`` when nobody can tell."""
        attempt = await self._let_in((address_suspect(client),))
        await attempt.failed()

    async def _let_in(self, suspects: Sequence[Suspect]) -> "Try":
        give_up_at = after(self._clock.now(), WAIT_MS * US_PER_MS)
        while True:
            self._refuse_known(suspects)
            policy = self._settings.current(LOCKOUT)
            charges = [Charge(limits_for(one.kind, policy).tries, one.subject) for one in suspects]
            store, decision = await self._take(self._shared, charges)
            # Asked after the charge: counters are reset only after a lockout stands, so whoever gets in by a reset
            # counter finds the lockout.
            try:
                await self._refuse_locked(suspects)
            except BaseException:
                if decision.allowed:
                    await self.give_back(store, charges)
                raise
            if decision.allowed:
                return Try(self, suspects, policy, store, charges)
            await self._wait(give_up_at, decision.limit)

    def forget(self, subject: str) -> None:
        """It was unlocked."""
        self._unlocks += 1
        self._known.pop(subject, None)

    async def reset(self, kind: LockKind, subject: str) -> None:
        """Forget what was counted. Raises a ``DatabaseError``; what Redis could not forget is only logged."""
        limits = limits_for(kind, self._settings.current(LOCKOUT))
        if self._shared is not None:
            try:
                await self._shared.reset(limits, subject)
            except StoreError as error:
                log.warning("Redis did not forget the failed log-ins of an unlocked %s: %s", kind.value, error)
        await self._counters.reset(limits, subject)
        self._wake()

    # ---- the end of a try --------------------------------------------------------------------------------------------

    async def give_back(self, store: LimitStore, charges: Sequence[Charge]) -> None:
        """A try costs nothing after all."""
        try:
            await store.give_back(charges)
        except (StoreError, DatabaseError) as error:
            log.info("A log-in that was right stays charged for a while: %s", error)
        self._wake()

    async def count(self, store: LimitStore, suspects: Sequence[Suspect], policy: LockoutPolicy) -> None:
        """A try was wrong: count it, and lock whoever has used up all of them."""
        try:
            for suspect in suspects:
                limits = limits_for(suspect.kind, policy)
                used, decision = await self._take(
                    store if store is self._shared else None, [Charge(limits.failures, suspect.subject)]
                )
                if not decision.allowed or decision.remaining == 0:
                    await self._lock(used, suspect, policy)
        except DatabaseError as error:
            # The try stays charged, so it counts all the same; only the lockout comes later.
            log.warning("A failed log-in could not be counted: %s", error)
        finally:
            self._wake()

    async def _lock(self, store: LimitStore, suspect: Suspect, policy: LockoutPolicy) -> None:
        lockout = await self._lockouts.lock(suspect, policy)
        self._remember(lockout)
        shown = lockout.shown or "a user name that no account has"
        log.warning(
            "Locked %s for %d s after too many failed log-ins (lockout %d in a row).",
            shown, -(-lockout.left_ms // 1000), lockout.level,
        )  # fmt: skip
        # The lockout stands for them from now on; who waited for it to end begins anew.
        try:
            await store.reset(limits_for(suspect.kind, policy), suspect.subject)
        except StoreError as error:
            log.info("Redis did not forget what a lockout stands for: %s", error)

    # ---- counting ----------------------------------------------------------------------------------------------------

    async def _take(self, shared: LimitStore | None, charges: Sequence[Charge]) -> tuple[LimitStore, Decision]:
        if shared is not None:
            try:
                return shared, await shared.take(charges)
            except StoreError as error:
                log.debug("Log-ins are counted in SQL: %s", error)
        return self._counters, await self._counters.take(charges)

    # ---- lockouts ----------------------------------------------------------------------------------------------------

    def _refuse_known(self, suspects: Sequence[Suspect]) -> None:
        """Raises :class:`RateLimitedError` when it is known here that one of them is locked: a flood costs nothing."""
        now = self._clock.now()
        known = [self._known[one.subject] for one in suspects if one.subject in self._known]
        self._refuse([one for one in known if now < one.believed_until], now)

    async def _refuse_locked(self, suspects: Sequence[Suspect]) -> None:
        """Raises :class:`RateLimitedError` when one of them is locked."""
        unlocks = self._unlocks
        held = await self._lockouts.held([one.subject for one in suspects])
        # What was read before an unlock was heard of is not kept.
        known = [self._remember(lockout, keep=unlocks == self._unlocks) for lockout in held]
        self._refuse(known, self._clock.now())

    def _refuse(self, known: Sequence[_Known], now: Instant) -> None:
        refusing = [one for one in known if now < one.until]
        if refusing:
            longest = max(refusing, key=lambda one: one.until)
            limit = limits_for(longest.kind, self._settings.current(LOCKOUT)).tries
            raise _refusal(_SENTENCES[longest.kind], limit, (longest.until - now) // US_PER_MS)

    def _remember(self, lockout: Lockout, *, keep: bool = True) -> _Known:
        now = self._clock.now()
        until, believed_until = (after(now, ms * US_PER_MS) for ms in (lockout.left_ms, KNOWN_MS))
        known = _Known(lockout.kind, until, believed_until)
        if keep:
            self._known.pop(lockout.subject, None)
            if len(self._known) >= KNOWN_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[lockout.subject] = known
        return known

    def _changed(self, key: CacheKey | None) -> None:
        if key is None:
            self._unlocks += 1
            self._known.clear()
        elif key.kind is Kind.UNLOCK:
            self.forget(key.ident)

    # ---- waiting -----------------------------------------------------------------------------------------------------

    async def _wait(self, give_up_at: Instant, limit: Limit) -> None:
        """Until another try has ended here, or a moment, for those elsewhere; they have used up ``limit``.

        Raises :class:`RateLimitedError`.
        """
        left_ms = (give_up_at - self._clock.now()) // US_PER_MS
        if left_ms <= 0 or len(self._waiting) >= WAITERS_MAX:
            raise _refusal(_BUSY, limit, WAIT_MS)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(ended)
        try:
            await asyncio.wait({ended}, timeout=min(left_ms, POLL_MS) / 1000)
        finally:
            if not ended.done():
                self._waiting.remove(ended)

    def _wake(self) -> None:
        """Let the one that waits longest try again."""
        if self._waiting:
            self._waiting.popleft().set_result(None)


def _refusal(what: str, limit: Limit, wait_ms: int) -> RateLimitedError:
    """With headers of its own: those of the requests' limits, which let it through, would say that all is well."""
    return RateLimitedError(what, wait_ms, rate_headers(limit, 0, wait_ms))


class Try:
    """One try that was let in (:class:`rppam.ports.guard.Attempt`)."""

    def __init__(
        self,
        guard: Guard,
        suspects: Sequence[Suspect],
        policy: LockoutPolicy,
        store: LimitStore,
        charges: Sequence[Charge],
    ) -> None:
        self._guard, self._suspects, self._policy = guard, suspects, policy
        self._store, self._charges = store, charges

    async def failed(self) -> None:
        """See the port."""
        await self._guard.count(self._store, self._suspects, self._policy)

    async def succeeded(self) -> None:
        """See the port."""
        await self._guard.give_back(self._store, self._charges)

    async def abandoned(self) -> None:
        """See the port."""
        await self._guard.give_back(self._store, self._charges)
