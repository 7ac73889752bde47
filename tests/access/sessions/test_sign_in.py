"""Each try to sign in is settled exactly once, whatever becomes of it."""

import asyncio
from typing import Any, cast

import pytest

from rppam.access.accounts.errors import InvalidCredentials, Overloaded
from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.lockouts.guard import Guard, Read, nothing
from rppam.access.mfa.service import SecondFactors
from rppam.access.sessions.service import Caller, Sessions, SignIn
from rppam.db.errors import DatabaseUnreachable
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

ANNA = Account("id", "anna", "Anna", frozenset({AccountRole.USER}), False, WallMs(1), WallMs(1))
STORED = StoredAccount(ANNA, Secret("a hash"))


class Settled(Guard):
    """Writes down how each try was settled."""

    def __init__(self) -> None:
        self.told: list[str] = []

    read = STORED

    async def enter(self, username: str, client: str, beside: Read = nothing) -> Any:
        self.told.append(f"{username} from {client}")
        return self

    def refuse_known(self, client: str) -> None:
        raise AssertionError("the name is known")

    async def count_stranger(self, client: str) -> None:
        raise AssertionError("the name is known")

    async def failed(self) -> None:
        self.told.append("failed")

    async def succeeded(self) -> None:
        self.told.append("succeeded")

    async def abandoned(self) -> None:
        self.told.append("abandoned")


class Accounts:
    def __init__(self, error: BaseException | None) -> None:
        self._error = error

    def looking_for(self, username: str) -> Read:
        return nothing

    async def check(self, stored: StoredAccount | None, password: Secret, client: str) -> Account:
        assert stored is STORED, "as it was read with the lockouts"
        if self._error is not None:
            raise self._error
        return ANNA

    async def check_address(self, account: Account, client: str) -> None:
        assert account is ANNA


class Factors(SecondFactors):
    """The second factor: not asked for, or nobody can tell."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def begin(self, account: Account, client: str) -> None:
        if self._error is not None:
            raise self._error


class Opened:
    async def open(self, account: Account, caller: Caller, *, mfa: bool) -> Any:
        return account, caller, mfa


def signing_in(guard: Settled, error: BaseException | None = None, factors: Factors | None = None) -> SignIn:
    return SignIn(Accounts(error), guard, factors or Factors(), cast("Sessions", Opened()))


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        (InvalidCredentials(), "failed"),
        (Overloaded("busy"), "abandoned"),
        (DatabaseUnreachable("away"), "abandoned"),
        (RuntimeError("ours"), "abandoned"),
        (asyncio.CancelledError(), "abandoned"),
    ],
)
async def test_a_try_that_fails_is_settled_by_its_reason(error: BaseException, settled: str) -> None:
    guard = Settled()
    with pytest.raises(type(error)):
        await signing_in(guard, error).login("Anna", Secret("x"), Caller("10.0.0.7", "curl"))
    assert guard.told == ["Anna from 10.0.0.7", settled]


async def test_a_right_password_begins_a_session_and_costs_nothing() -> None:
    guard = Settled()
    caller = Caller("10.0.0.7", "curl")
    found: Any = await signing_in(guard).login("anna", Secret("x"), caller)
    assert found == (ANNA, caller, False)
    assert guard.told[1:] == ["succeeded"]


async def test_nobody_is_let_in_when_nobody_can_tell_whether_a_second_factor_is_needed() -> None:
    guard = Settled()
    factors = Factors(DatabaseUnreachable("away"))
    with pytest.raises(DatabaseUnreachable):
        await signing_in(guard, factors=factors).login("anna", Secret("x"), Caller("10.0.0.7", "curl"))
    assert len(guard.told) == 2, "settled once"
