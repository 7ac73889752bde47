"""Who calls, told from copies that may be old: never let in by an old one, never signed out by one either."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import pytest
from msgspec.structs import replace

from rppam.access.sessions.activity import SessionActivity
from rppam.access.sessions.check import SessionCheck
from rppam.access.sessions.errors import SessionEndedError, SessionUnknownError
from rppam.access.sessions.model import (
    OVER_HOLDS_MS,
    NewSession,
    Session,
    SessionKind,
    StoredFacts,
    StoredSession,
    UserFacts,
    fact_bytes,
    read_session,
)
from rppam.access.sessions.store import SqlSessions
from rppam.access.tokens.service import Bearer
from rppam.cache.model import CacheKey, Change, Copy
from rppam.cache.ports import SharedCache
from rppam.db.clock import DatabaseClock
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.instant import WallMs
from tests.access.tokens.test_token_cache import made
from tests.support.signing_keys import NOW_S, SetClock

T = TypeVar("T")
LATER = WallMs((NOW_S + 3600) * 1000)


class Sticky(SharedCache):
    """A cache that nothing is ever invalidated in: every copy that was once read is as old as it can be."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], Any] = {}

    def reader(
        self, kind: str, decode: Callable[[Copy], T], load: Callable[[str], Awaitable[tuple[Copy, int] | None]]
    ) -> Any:
        kept = self.kept

        class Reader:
            def hit(self, ident: str) -> T | None:
                return cast("T | None", kept.get((kind, ident)))

            async def get(self, ident: str) -> T | None:
                if (kind, ident) not in kept:
                    found = await load(ident)
                    if found is None:
                        return None
                    kept[kind, ident] = decode(found[0])
                return cast("T", kept[kind, ident])

        return Reader()

    async def publish(self, key: CacheKey, copy: Copy, life_ms: int, *, confirm: bool = False) -> bool:
        raise NotImplementedError

    def forget(self, changes: Sequence[Change]) -> None:
        raise NotImplementedError


class Truth:
    """What SQL says."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.users: dict[str, UserFacts] = {}
        self.away = False
        self.asked = 0

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise DatabaseUnreachable("away")

    async def find(self, token_hash: str) -> StoredSession | None:
        self._answer()
        session = self.sessions.get(token_hash)
        return None if session is None else StoredSession(session, token_hash, 1, 1_000, WallMs(NOW_S * 1000))

    async def facts(self, user_id: str) -> StoredFacts | None:
        self._answer()
        facts = self.users.get(user_id)
        return None if facts is None else StoredFacts(facts, facts.auth_epoch)

    async def open(self, new: NewSession) -> StoredSession:
        self._answer()
        session = Session(new.id, new.user_id, new.subject, new.kind, new.auth_epoch, new.mfa, LATER, False)
        self.sessions.setdefault(new.token_hash, session)
        found = await self.find(new.token_hash)
        assert found is not None
        return found

    async def touch(self, uses: object) -> None:
        self._answer()


class Scene:
    def __init__(self) -> None:
        self.time = SetClock()
        self.truth, self.cache, clock = Truth(), Sticky(), DatabaseClock(self.time)
        store = cast("SqlSessions", self.truth)
        self.check = SessionCheck(store, self.cache, clock, SessionActivity(store, clock, lambda: 60_000))
        self.tokens = made(SetClock())
        self.truth.users["anna"] = UserFacts("anna", "anna", frozenset({"pam_user"}), False, 1, False)

    def session(self, name: str, epoch: int = 1) -> Bearer:
        """Somebody who signed in under this epoch."""
        now = WallMs(NOW_S * 1000)
        claims = self.tokens.issue_for_session("anna", ["pam_admin"], name, now, 5, LATER).claims
        self.truth.sessions[name] = Session(name, "anna", "anna", SessionKind.LOGIN, epoch, False, LATER, False)
        return Bearer(claims, name)

    def host(self) -> Bearer:
        claims = self.tokens.issue_admin("root", 5).claims
        return Bearer(claims, claims.session)

    def change(self, **facts: Any) -> None:
        self.truth.users["anna"] = replace(self.truth.users["anna"], **facts)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_roles_are_the_accounts_and_not_the_tokens(scene: Scene) -> None:
    bearer = scene.session("one")
    assert scene.check.near(bearer) is None
    identity = await scene.check.identify(bearer)
    assert (identity.roles, identity.user_id, identity.session_id) == (frozenset({"pam_user"}), "anna", "one")
    asked = scene.truth.asked
    assert scene.check.near(bearer) == identity
    assert scene.truth.asked == asked, "from memory"


async def test_a_session_that_is_newer_than_the_copy_of_its_account_is_not_refused(scene: Scene) -> None:
    await scene.check.identify(scene.session("old"))
    scene.change(auth_epoch=2, roles=frozenset({"pam_approver"}))
    bearer = scene.session("new", epoch=2)
    assert (await scene.check.identify(bearer)).roles == {"pam_approver"}
    assert scene.check.near(bearer) is None, "not from the old copy"
    scene.truth.away = True
    with pytest.raises(SessionUnknownError):
        await scene.check.identify(bearer)


@pytest.mark.parametrize("change", [{"disabled": True}, {"auth_epoch": 2}])
async def test_an_account_that_changed_ends_its_sessions(scene: Scene, change: dict[str, Any]) -> None:
    bearer = scene.session("one")
    scene.change(**change)
    with pytest.raises(SessionEndedError, match=r"by an administrator, by a new password, or because it was disabled"):
        await scene.check.identify(bearer)
    for _ in range(2):
        with pytest.raises(SessionEndedError):
            await scene.check.identify(bearer)
    with pytest.raises(SessionEndedError):
        scene.check.near(bearer)


async def test_a_session_without_an_account_or_without_a_row_is_over(scene: Scene) -> None:
    bearer = scene.session("one")
    del scene.truth.users["anna"]
    with pytest.raises(SessionEndedError, match="account"):
        await scene.check.identify(bearer)
    unknown = scene.session("two")
    del scene.truth.sessions["two"]
    with pytest.raises(SessionEndedError, match="no session"):
        await scene.check.identify(unknown)


async def test_a_token_of_a_host_is_written_down_when_it_is_first_seen(scene: Scene) -> None:
    bearer = scene.host()
    identity = await scene.check.identify(bearer)
    assert (identity.user_id, identity.roles, identity.kind) == (None, frozenset({"pam_admin"}), SessionKind.HOST)
    assert list(scene.truth.sessions) == [bearer.ident]
    ended = scene.host()
    await scene.check.identify(ended)
    scene.cache.kept.clear()
    scene.truth.sessions[ended.ident] = replace(scene.truth.sessions[ended.ident], ended=True)
    with pytest.raises(SessionEndedError):
        await scene.check.identify(ended)


async def test_an_error_is_neither_yes_nor_no(scene: Scene) -> None:
    bearer, over, host = scene.session("one"), scene.session("two"), scene.host()
    scene.truth.sessions["two"] = replace(scene.truth.sessions["two"], ended=True)
    with pytest.raises(SessionEndedError):
        await scene.check.identify(over)
    scene.cache.kept.clear()
    scene.truth.away = True
    for one in (bearer, host):
        with pytest.raises(SessionUnknownError):
            await scene.check.identify(one)
    with pytest.raises(SessionEndedError):
        await scene.check.identify(over)  # that much is known here
    assert scene.check.blind(bearer).subject == "anna"
    assert scene.check.blind(host).roles == {"pam_admin"}
    with pytest.raises(SessionEndedError):
        scene.check.blind(over)
    scene.truth.away = False
    assert (await scene.check.identify(bearer)).session_id == "one", "the same token works again"


async def test_a_session_whose_time_ran_out_is_asked_for_again_as_another_node_or_the_clock_may_give_it_more(
    scene: Scene,
) -> None:
    bearer = scene.session("one")
    alive = scene.truth.sessions["one"]
    scene.truth.sessions["one"] = replace(alive, ended=True, ran_out=True)
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)
    scene.truth.sessions["one"] = alive
    scene.cache.kept.clear()
    scene.time.now_s += OVER_HOLDS_MS // 1000 - 1
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)
    scene.time.now_s += 1
    assert scene.check.near(bearer) is None
    assert (await scene.check.identify(bearer)).session_id == "one"
    scene.truth.sessions["one"] = replace(alive, ended=True)
    scene.cache.kept.clear()
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)
    scene.truth.sessions["one"] = alive
    scene.cache.kept.clear()
    scene.time.now_s += 3600
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)  # what was ended stays so


def test_a_copy_says_whether_the_session_only_ran_out_and_one_of_an_older_release_can_be_read() -> None:
    idle = Session("one", "anna", "anna", SessionKind.LOGIN, 1, False, LATER, True, ran_out=True)
    assert read_session(fact_bytes(idle)) == idle
    older = json.loads(fact_bytes(idle))
    del older["l"]
    assert read_session(json.dumps(older).encode()) == replace(idle, ran_out=False)


async def test_what_was_once_seen_to_be_over_stays_so_whatever_an_old_copy_says(scene: Scene) -> None:
    bearer = scene.session("one")
    await scene.check.identify(bearer)
    before = dict(scene.cache.kept)
    scene.truth.sessions["one"] = replace(scene.truth.sessions["one"], ended=True)
    scene.cache.kept.clear()
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)
    scene.cache.kept.update(before)  # Redis is back, with what it held before
    with pytest.raises(SessionEndedError):
        scene.check.near(bearer)
    with pytest.raises(SessionEndedError):
        await scene.check.identify(bearer)
