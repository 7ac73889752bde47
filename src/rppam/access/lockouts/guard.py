"""The guard before every check of a password or a code.

Decides who may try. A try is charged before it is checked, against the user name and the address, and costs nothing
when it was right: so guesses in parallel count, and right ones do not. Wrong ones stay counted; the last one that the
policy allows locks, in SQL, which is asked before every try: on every node, whatever Redis loses. Others wait here.

What is under way is a lease of seconds that the checking process renews: one that dies locks nobody out. Wrong ones are
counted in Redis for all nodes, in each process, and every few of a process in SQL: whoever deletes what Redis counted
gains two guesses a process. On the word of Redis alone tries are refused and nobody is locked: a lockout needs wrong
ones that SQL or this process has seen, so whoever writes counters there stops log-ins for as long as it goes on, and
leaves nothing behind. Without Redis everything is counted in SQL, as exactly; while SQL is away nobody can sign in.

It does not promise that two counts, of processes that reach Redis and of others, together let in no more than one; nor
that a process that was frozen for longer than a lease holds its tries' places meanwhile.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from rppam.access.lockouts.model import (
    MINUTE_MS,
    LockKind,
    Lockout,
    LockoutPolicy,
    Suspect,
    address_suspect,
    user_suspect,
)
from rppam.access.lockouts.policy import LOCKOUT
from rppam.access.lockouts.sql_tries import SqlTries
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.lockouts.tally import NO_MARK, Mark, Tally, proof
from rppam.access.lockouts.tries import Booked, Entry, Lease, Standing, TryStore, Watched
from rppam.cache.model import CacheKey, Kind
from rppam.cache.ports import SharedCache
from rppam.db.errors import DatabaseError
from rppam.http.errors import RateLimitedError
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.instant import US_PER_MS, Instant, after
from rppam.kernel.limit import Limit, Shape, rate_headers
from rppam.redis.errors import StoreError
from rppam.settings.hot import LiveSettings

log = logging.getLogger("rppam.guard")

KNOWN_MS: Final = 2_000  # a lockout read from SQL is believed this long, so an unlock is known everywhere within that
KNOWN_MAX: Final = 10_000
WAIT_MS: Final = 5_000  # for others of the same user or address that are being checked
POLL_MS: Final = 200
WAITERS_MAX: Final = 64
SAID_MS: Final = MINUTE_MS  # between two log lines that Redis alone says somebody used up all tries

LOCKED: Final = {
    LockKind.USER: "there were too many wrong passwords or codes for this user name",
    LockKind.ADDRESS: "there were too many wrong passwords or codes from this address",
}
UNPROVEN: Final = {
    LockKind.USER: "too many wrong passwords or codes are counted for this user name at the moment",
    LockKind.ADDRESS: "too many wrong passwords or codes are counted for this address at the moment",
}
_BUSY: Final = "others try to sign in with this user name or from this address right now"
_UNDER_WAY: Final = {
    LockKind.USER: "with this user name",
    LockKind.ADDRESS: "from this address",
}


Read = Callable[[Connection], Any]


def nothing(_connection: Connection) -> None:
    """Read nothing."""


def limit_for(kind: LockKind, policy: LockoutPolicy) -> Limit:
    """How many wrong tries, and tries under way, one kind of suspect may have; as answers name it."""
    events = policy.user_failures if kind is LockKind.USER else policy.address_failures
    return Limit(f"login-{kind.value}", Shape.WINDOW, events, policy.window_minutes * MINUTE_MS)


def watched_of(suspect: Suspect, policy: LockoutPolicy) -> Watched:
    limit = limit_for(suspect.kind, policy)
    return Watched(limit._replace(name=f"{limit.name}-wrong"), suspect.subject)


class _Known(NamedTuple):
    kind: LockKind
    until: Instant
    believed_until: Instant


class Guard:
    """See the module. One for each process."""

    def __init__(
        self,
        shared: TryStore | None,
        ledger: SqlTries,
        lockouts: SqlLockouts,
        settings: LiveSettings,
        cache: SharedCache,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """``shared`` is Redis, ``ledger`` is SQL."""
        self._shared, self._ledger, self._lockouts = shared, ledger, lockouts
        self._settings, self._clock, self._entropy = settings, clock, entropy
        self._tally = Tally(clock)
        self._known: dict[str, _Known] = {}
        self._unlocks = 0
        self._said_until: Instant | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        cache.on_change(self._changed)

    async def enter(self, username: str, client: str, beside: Read = nothing) -> "Try":
        """Let one try in; it is charged until it is over, so that guesses in parallel are counted, too.

        ``username`` as typed, known or not; ``client`` is the caller's address; ``beside`` reads what the check needs,
        in the transaction that tells who is locked. Raises :class:`RateLimitedError` when there were too many wrong
        ones, a ``DatabaseError`` when nobody can tell.
        """
        return await self._let_in((user_suspect(username), address_suspect(client)), beside)

    @asynccontextmanager
    async def trying(
        self, username: str, client: str, wrong: type[Exception], beside: Read = nothing
    ) -> AsyncIterator[Any]:
        """One try around the check of a password or a code, which raises ``wrong`` where it is wrong: that counts. It
        costs nothing when it was right, nor when nobody could tell. What ``beside`` has read. Raises as :meth:`enter`.
        """
        attempt = await self.enter(username, client, beside)
        try:
            yield attempt.read
        except wrong:
            await attempt.failed()
            raise
        except BaseException:
            await attempt.abandoned()
            raise
        await attempt.succeeded()

    def refuse_known(self, client: str) -> None:
        """Raise :class:`RateLimitedError` when this process knows that the address is locked.

        Asks nobody, so a flood from such an address costs nothing.
        """
        self._refuse_known((address_suspect(client),))

    async def count_stranger(self, client: str) -> None:
        """Count a wrong try that names no user against its address alone. Raises as :meth:`enter`."""
        attempt = await self._let_in((address_suspect(client),))
        await attempt.failed()

    async def _let_in(self, suspects: Sequence[Suspect], beside: Read = nothing) -> "Try":
        give_up_at = after(self._clock.now(), WAIT_MS * US_PER_MS)
        while True:
            self._refuse_known(suspects)
            policy = self._settings.current(LOCKOUT)
            watched = [watched_of(one, policy) for one in suspects]
            lease, entry = await self._begin(watched)
            # Asked after the charge: counters are reset only after a lockout stands, so whoever gets in by a reset
            # counter finds the lockout.
            full = None
            try:
                read = await self._refuse_locked(suspects, watched, beside)
                if entry.allowed:
                    self._refuse_known(suspects)
                    full = self._tally.enter(watched)
                    if full is None and not lease.may_have_lapsed:
                        return Try(self, suspects, policy, lease, read)
                    if full is None:
                        self._tally.leave(watched)
            except BaseException:
                await self._give_up(lease, entry)
                raise
            await self._give_up(lease, entry)
            exhausted = used_up(self._tally, watched, entry, full)
            if exhausted is not None:
                # They are used up by wrong ones, and no lockout stands: the policy was made stricter, or the database
                # was away when it was due, or others lock right now, or somebody has written the counter.
                if await self._seen(watched[exhausted]) < proof(watched[exhausted].limit):
                    await self._refuse_locked(suspects, watched)
                    raise self._unproven(suspects[exhausted])
                await self._lock(suspects[exhausted], policy)
                continue
            await self._wait(give_up_at, suspects, watched, entry)

    def forget(self, subject: str) -> None:
        self._unlocks += 1
        self._known.pop(subject, None)
        self._tally.forget(subject)

    async def reset(self, kind: LockKind, subject: str) -> None:
        """Forget what was counted. Raises a ``DatabaseError``; what Redis could not forget is only logged."""
        watched = watched_of(Suspect(kind, subject, ""), self._settings.current(LOCKOUT))
        if self._shared is not None:
            try:
                await self._shared.forget([watched])
            except StoreError as error:
                log.warning("Redis did not forget the failed log-ins of an unlocked %s: %s", kind.value, error)
        await self._ledger.forget([watched])
        self._wake()

    async def look(self, suspects: Sequence[Suspect]) -> list[tuple[Limit, Standing]]:
        """How it stands with each: wrong tries, and those under way. Raises a ``DatabaseError``."""
        policy = self._settings.current(LOCKOUT)
        watched = [watched_of(one, policy) for one in suspects]
        found = await self._ledger.look(watched)
        if self._shared is not None:
            try:
                shared = await self._shared.look(watched)
                found = [one.beside(other) for one, other in zip(found, shared, strict=True)]
            except StoreError as error:
                log.debug("Tries are looked up in SQL alone: %s", error)
        return [(limit_for(one.kind, policy), now) for one, now in zip(suspects, found, strict=True)]

    # ---- the end of a try --------------------------------------------------------------------------------------------

    async def give_back(self, lease: Lease) -> None:
        """A try costs nothing after all."""
        self._tally.leave(lease.watched)
        await self._leave(lease)
        self._wake()

    async def count(self, lease: Lease, suspects: Sequence[Suspect], policy: LockoutPolicy) -> None:
        """A try was wrong: count it, and lock the user or address that has used up all of them."""
        store, watched = lease.store, lease.watched
        is_shared = store is not self._ledger
        shall = self._tally.fail(watched, told=not is_shared)
        try:
            await lease.end()
            try:
                found = await store.fail(watched, lease.name)
            except StoreError as error:
                log.debug("A failed log-in is counted in SQL: %s", error)
                found, is_shared = await self._ledger.fail(watched, lease.name), False
            if is_shared:  # SQL hears of each of the last ones, so that by the last it has seen enough of them
                shall += self._tally.tell(
                    [
                        one
                        for one, now in zip(watched, found, strict=True)
                        if now.wrong > one.limit.events - proof(one.limit)
                    ]
                )
            booked = await self._book(shall)
            for suspect, one, now in zip(suspects, watched, found, strict=True):
                seen = max(booked.get(one.subject, 0), self._tally.wrong(one), 0 if is_shared else now.wrong)
                if seen >= (proof(one.limit) if now.is_used_up(one.limit) else one.limit.events):
                    await self._lock(suspect, policy)
        except DatabaseError as error:
            # It is counted in this process all the same; only the lockout comes later.
            log.warning("A failed log-in could not be counted: %s", error)
        finally:
            self._wake()

    async def _seen(self, one: Watched) -> int:
        """Wrong ones that SQL or this process has seen, whatever Redis says. Raises a ``DatabaseError``."""
        await self._book(self._tally.tell([one]))
        return max((await self._ledger.look([one]))[0].wrong, self._tally.wrong(one))

    def _unproven(self, suspect: Suspect) -> RateLimitedError:
        now = self._clock.now()
        if self._said_until is None or now >= self._said_until:
            self._said_until = after(now, SAID_MS * US_PER_MS)
            log.warning(
                "Redis alone says that all tries of a %s to sign in are used up: refused, not locked. Does somebody "
                "else write to Redis? See ACL LIST and CLIENT LIST.", suspect.kind.value,
            )  # fmt: skip
        return refusal(UNPROVEN[suspect.kind], limit_for(suspect.kind, self._settings.current(LOCKOUT)), WAIT_MS)

    async def _book(self, shall: Sequence[Booked]) -> dict[str, int]:
        if not shall:
            return {}
        try:
            counts = await self._ledger.book(shall)
        except DatabaseError:
            self._tally.not_told(shall)
            raise
        return {one.watched.subject: count for one, count in zip(shall, counts, strict=True)}

    async def _lock(self, suspect: Suspect, policy: LockoutPolicy) -> None:
        lockout = await self._lockouts.lock(suspect, policy)
        watched = watched_of(suspect, policy)
        self._remember(lockout)
        self._tally.heard(watched, _mark(lockout))
        shown = lockout.shown or "a user name that no account has"
        log.warning(
            "Locked %s for %d s after too many failed log-ins (lockout %d in a row).",
            shown, -(-lockout.left_ms // 1000), lockout.level,
        )  # fmt: skip
        # The lockout stands for them from now on; after it counting begins again.
        for store in (self._shared, self._ledger):
            try:
                if store is not None:
                    await store.forget([watched])
            except (StoreError, DatabaseError) as error:
                log.info("What a lockout stands for was not forgotten: %s", error)

    # ---- counting ----------------------------------------------------------------------------------------------------

    async def _begin(self, watched: Sequence[Watched]) -> tuple[Lease, Entry]:
        """Charge one try. The lease is asked for before the store is, so it never seems longer than it is."""
        if self._shared is not None:
            lease = Lease(self._shared, watched, self._entropy.nonce(), self._clock)
            try:
                return lease, await self._shared.enter(watched, lease.name)
            except StoreError as error:
                await lease.end()
                log.debug("Log-ins are counted in SQL: %s", error)
            except BaseException:
                await lease.end()
                raise
        lease = Lease(self._ledger, watched, self._entropy.nonce(), self._clock)
        try:
            return lease, await self._ledger.enter(watched, lease.name)
        except BaseException:
            await lease.end()
            raise

    async def _give_up(self, lease: Lease, entry: Entry) -> None:
        if entry.allowed:
            await self._leave(lease)
        else:
            await lease.end()

    async def _leave(self, lease: Lease) -> None:
        await lease.end()
        try:
            await lease.store.leave(lease.watched, lease.name)
        except (StoreError, DatabaseError) as error:
            log.info("A log-in that is over counts as under way for some seconds more: %s", error)

    # ---- lockouts ----------------------------------------------------------------------------------------------------

    def _refuse_known(self, suspects: Sequence[Suspect]) -> None:
        now = self._clock.now()
        known = [self._known[one.subject] for one in suspects if one.subject in self._known]
        self._refuse([one for one in known if now < one.believed_until], now)

    async def _refuse_locked(
        self, suspects: Sequence[Suspect], watched: Sequence[Watched], beside: Read = nothing
    ) -> Any:
        """Raise where one of them is locked; else what ``beside`` has read."""
        unlocks = self._unlocks
        rows, read = await self._lockouts.latest([one.subject for one in suspects], beside)
        latest = {one.subject: one for one in rows}
        for one in watched:
            # Counted anew after a lockout or an unlock, also one that this process has heard nothing of.
            self._tally.heard(one, _mark(latest[one.subject]) if one.subject in latest else NO_MARK)
        held = [one for one in latest.values() if one.left_ms > 0]
        # What was read before an unlock was heard of is not kept.
        known = [self._remember(lockout, keep=unlocks == self._unlocks) for lockout in held]
        self._refuse(known, self._clock.now())
        return read

    def _refuse(self, known: Sequence[_Known], now: Instant) -> None:
        refusing = [one for one in known if now < one.until]
        if refusing:
            longest = max(refusing, key=lambda one: one.until)
            limit = limit_for(longest.kind, self._settings.current(LOCKOUT))
            raise refusal(LOCKED[longest.kind], limit, (longest.until - now) // US_PER_MS)

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

    async def _wait(
        self, give_up_at: Instant, suspects: Sequence[Suspect], watched: Sequence[Watched], entry: Entry
    ) -> None:
        """Until another try has ended here, or a moment, for those elsewhere.

        Raises :class:`RateLimitedError`.
        """
        left_ms = (give_up_at - self._clock.now()) // US_PER_MS
        if left_ms <= 0 or len(self._waiting) >= WAITERS_MAX:
            policy = self._settings.current(LOCKOUT)
            full = next(
                (at for at, now in enumerate(entry.standings) if not entry.allowed and now.is_full(watched[at].limit)),
                0,
            )
            raise refusal(busy(suspects[full], entry.standings[full]), limit_for(suspects[full].kind, policy), WAIT_MS)
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


def _mark(lockout: Lockout) -> Mark:
    return lockout.since, lockout.until, lockout.level


def used_up(tally: Tally, watched: Sequence[Watched], entry: Entry, full: Watched | None) -> int | None:
    """Which one wrong tries alone have used up."""
    for at, (one, now) in enumerate(zip(watched, entry.standings, strict=True)):
        in_store = not entry.allowed and now.is_used_up(one.limit)
        if in_store or (full == one and tally.wrong(one) >= one.limit.events):
            return at
    return None


class Try:
    """One try that was let in. Exactly one of its methods is called, once it is over."""

    def __init__(
        self, guard: Guard, suspects: Sequence[Suspect], policy: LockoutPolicy, lease: Lease, read: Any
    ) -> None:
        self._guard, self._suspects, self._policy, self._lease = guard, suspects, policy, lease
        self.read: Final = read
        """What was read with the lockouts."""

    async def failed(self) -> None:
        """The password or code was wrong: it counts."""
        await self._guard.count(self._lease, self._suspects, self._policy)

    async def succeeded(self) -> None:
        """It was right: it costs nothing."""
        await self._guard.give_back(self._lease)

    async def abandoned(self) -> None:
        """Nobody can tell (overload, no database): it costs nothing."""
        await self._guard.give_back(self._lease)


def busy(suspect: Suspect, now: Standing) -> str:
    """Why a try has to wait while others are being checked."""
    if not now.running:
        return _BUSY
    lapse = f"each counts until it is over, or for {-(-now.lapses_ms // 1000)} s more where its node has died"
    return f"{_BUSY}: {now.running} tries {_UNDER_WAY[suspect.kind]} are under way, {lapse}"


def refusal(what: str, limit: Limit, wait_ms: int) -> RateLimitedError:
    """The error, with headers of its own: those of the requests' limits, which let it through, would be misleading."""
    return RateLimitedError(what, wait_ms, rate_headers(limit, 0, wait_ms))
