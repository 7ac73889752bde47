"""A token is verified once; what is remembered is bounded, ends with the token, and goes with the keys."""

import pytest

from rppam.access.sessions.model import SessionKind, token_hash
from rppam.access.tokens.claims import Claims
from rppam.access.tokens.service import KeySet, TokenCache, Tokens
from rppam.http.errors import UnauthenticatedError
from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.instant import WallMs
from tests.support.signing_keys import NOW_S, Counting, SetClock, p256, stored

OURS = stored(p256())


def made(clock: SetClock, session_clock: SetClock | None = None) -> Tokens:
    return Tokens(
        KeySet([OURS]), issuer="i", audience="a", node="n", clock=clock, entropy=Counting(), session_clock=session_clock
    )


def flaw(known: TokenCache, token: str) -> TokenFlaw | None:
    try:
        known.check(token)
    except UnauthenticatedError as error:
        return error.flaw
    return None


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = made(SetClock())
    known, issued = TokenCache(tokens), tokens.issue_admin("admin", 5)
    token = issued.token.reveal()
    verified: list[str] = []
    verify = tokens.verify

    def counted(text: str) -> Claims:
        verified.append(text)
        return verify(text)

    monkeypatch.setattr(tokens, "verify", counted)
    found = [known.check(token) for _ in range(5)]
    assert verified == [token]
    assert {(bearer.claims, bearer.ident) for bearer in found} == {(issued.claims, token_hash(issued.claims.session))}
    for wrong in (token[:-1], token + "A", "a.b.c"):
        assert flaw(known, wrong) is not None
        assert flaw(known, wrong) is not None, "nothing bad is remembered as good"
    assert len(known) == 1


def test_what_is_remembered_ends_with_the_token() -> None:
    clock = SetClock()
    tokens = made(clock)
    known, token = TokenCache(tokens), tokens.issue_admin("admin", 1).token.reveal()
    assert flaw(known, token) is None
    clock.now_s += 60
    assert flaw(known, token) is TokenFlaw.EXPIRED
    assert flaw(known, token) is TokenFlaw.EXPIRED
    assert len(known) == 0


def test_what_is_remembered_goes_with_the_keys() -> None:
    tokens = made(SetClock())
    known, token = TokenCache(tokens), tokens.issue_admin("admin", 5).token.reveal()
    assert flaw(known, token) is None
    tokens.use(KeySet([stored(p256())]))
    assert flaw(known, token) is TokenFlaw.KEY


def test_the_one_not_seen_for_longest_gives_way() -> None:
    tokens = made(SetClock())
    known = TokenCache(tokens, remembered_max=3)
    texts = [tokens.issue_admin("admin", 5).token.reveal() for _ in range(4)]
    for text in (*texts[:3], texts[0], texts[3]):
        known.check(text)
    assert len(known) == 3
    assert set(known._known) == {texts[0], texts[2], texts[3]}


def test_sessions_go_by_the_databases_clock_and_hosts_by_either() -> None:
    host, database = SetClock(), SetClock(NOW_S + 3600)
    tokens = made(host, database)
    known = TokenCache(tokens)
    now = WallMs(database.now_s * 1000)
    session = tokens.issue_for_session("anna", ["pam_user"], tokens.new_sid(), now, 5, WallMs(now + 3_600_000))
    assert session.claims.kind is SessionKind.LOGIN
    by_host = tokens.issue_admin("admin", 5).token.reveal()
    assert flaw(known, session.token.reveal()) is None
    assert flaw(known, by_host) is None, "signed an hour ago by the database's clock, just now by the host's"
    database.now_s += 300
    assert flaw(known, session.token.reveal()) is TokenFlaw.EXPIRED
    host.now_s += 300
    assert flaw(known, by_host) is TokenFlaw.EXPIRED


def test_a_token_of_a_session_never_outlives_it() -> None:
    tokens = made(SetClock())
    now = WallMs(NOW_S * 1000)
    issued = tokens.issue_for_session("anna", [], tokens.new_sid(), now, 60, WallMs(now + 90_500))
    assert issued.claims.expires_at_s == NOW_S + 90
    sids = {tokens.new_sid() for _ in range(3)}
    assert {len(sid) for sid in sids} == {64}
    assert len(sids) == 3
