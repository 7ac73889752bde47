"""The whole check of a known token, as the API makes it before a route: token, session and account, all from memory."""

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rppam.access.sessions.activity import SessionActivity
from rppam.access.sessions.check import SessionCheck
from rppam.access.sessions.model import Session, SessionKind, StoredFacts, StoredSession, Use, UserFacts, fact_bytes
from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, TokenCache, Tokens
from rppam.cache.model import CacheKey, Copy, Kind
from rppam.cache.ports import SharedCache
from rppam.db.clock import DatabaseClock
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy

USER = "c0ffee" + "0" * 26
LIFE_MS = 15 * 60_000
IDLE_MS = 30 * 60_000


class _NoTruth:
    """What is asked of SQL must not be asked here: all of it is in the cache. Uses are thrown away."""

    async def find(self, token_hash: str) -> StoredSession | None:
        raise AssertionError(f"session {token_hash} was asked of the database")

    async def facts(self, user_id: str) -> StoredFacts | None:
        raise AssertionError(f"account {user_id} was asked of the database")

    async def touch(self, uses: Sequence[Use]) -> None:
        """Nothing."""

    async def sweep(self, count: int) -> int:
        return count


@asynccontextmanager
async def token_check(cache: SharedCache) -> AsyncIterator[Callable[[str], object]]:
    """A call that checks the same token again and again; its argument is not used."""
    clock = SystemClock()
    now = clock.wall_ms()
    with tempfile.TemporaryDirectory(prefix="rppam-keys-") as folder:
        keys = KeySet(ensure_signing_keys(Path(folder) / "keys", now_ms=now))
    tokens = Tokens(
        keys, issuer="rppam", audience="rppam-api", node="node1", clock=clock, entropy=SystemEntropy()
    )  # fmt: skip
    ends_at = type(now)(now + LIFE_MS)
    issued = tokens.issue_for_session("person", ("pam_user",), tokens.new_sid(), now, 10, ends_at)
    known = TokenCache(tokens)
    token = issued.token.reveal()
    bearer = known.check(token)
    session = Session(
        id=f"{1:032x}", user_id=USER, subject="person", kind=SessionKind.LOGIN, auth_epoch=1, mfa=True,
        expires_at=ends_at, ended=False,
    )  # fmt: skip
    user = UserFacts(USER, "person", frozenset(("pam_user",)), disabled=False, auth_epoch=1, has_mfa=True)
    store = _NoTruth()
    touches = SessionActivity(store, clock, lambda: IDLE_MS)  # type: ignore[arg-type]
    check = SessionCheck(store, cache, DatabaseClock(clock), touches)  # type: ignore[arg-type]
    await cache.publish(CacheKey(Kind.SESSION, bearer.ident), Copy(1, fact_bytes(session)), LIFE_MS)
    await cache.publish(CacheKey(Kind.USER, USER), Copy(1, fact_bytes(user)), LIFE_MS)
    while check.near(bearer) is None:
        await check.identify(bearer)

    def call(_: str) -> object:
        return check.near(known.check(token))

    yield call
