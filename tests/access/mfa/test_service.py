"""The second factor on both databases, between nodes: a code counts once, and a log-in goes on wherever it began."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Row, text

from rppam.access.accounts.errors import UserUnknown
from rppam.access.accounts.model import Account, AccountRole, StoredAccount, UserChange
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.guard import Guard, Read, nothing
from rppam.access.mfa.errors import (
    CodeNotTaken,
    CodeWrong,
    MfaDisabled,
    MfaEnrolled,
    MfaNotEnrolled,
    MfaRequired,
    MfaTokenInvalid,
)
from rppam.access.mfa.model import ATTEMPTS_MAX, Enrolment
from rppam.access.mfa.one_time_codes import code_at, read_enrolment, step_at
from rppam.access.mfa.policy import MFA, MfaPolicy
from rppam.access.mfa.service import SecondFactors, _place
from rppam.access.mfa.store import SqlFactors
from rppam.access.sessions.store import SqlSessions
from rppam.cache.no_cache import NoCache
from rppam.crypto.data_key_ports import ClusterSecrets
from rppam.crypto.data_keys import DataKeys
from rppam.crypto.errors import SealBroken
from rppam.db.data_keys import SqlDataKeys
from rppam.db.database import Database
from rppam.http.errors import RateLimitedError
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.settings.model import InForce, Setting
from tests.support.hot import DefaultSettings
from tests.support.shelf import CHEAP

pytestmark = pytest.mark.integration

KEY = Secret(secrets.token_hex(32))
CLIENT = "10.0.0.7"


def rows_of(table: str, connection: Connection) -> Sequence[Row[Any]]:
    return connection.execute(text(f"SELECT * FROM {table}")).all()


class Policy(DefaultSettings):
    """Hot settings with one that was set."""

    def __init__(self) -> None:
        self.value = MfaPolicy()

    async def get(self, setting: Setting[Any]) -> InForce[Any]:
        assert setting is MFA
        return InForce(self.value, 1)


class CountingGuard(Guard):
    """Lets in until there are too many wrong ones, and remembers how each try ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.wrong_max = 10**6
        self.meanwhile: Awaitable[object] | None = None
        """What happens while the next try waits to be let in."""
        self.read = None

    async def enter(self, username: str, client: str, beside: Read = nothing) -> Any:
        if self.meanwhile is not None:
            await self.meanwhile
            self.meanwhile = None
        if self.ended.count("failed") >= self.wrong_max:
            raise RateLimitedError("too many wrong codes", 1000)
        return self

    def refuse_known(self, client: str) -> None:
        pass

    async def count_stranger(self, client: str) -> None:
        self.ended.append("stranger")

    async def failed(self) -> None:
        self.ended.append("failed")

    async def succeeded(self) -> None:
        self.ended.append("succeeded")

    async def abandoned(self) -> None:
        self.ended.append("abandoned")


class Node:
    """One node's view of the second factor."""

    def __init__(self, database: Database, policy: Policy, guard: CountingGuard) -> None:
        self.database, self.policy, self.guard = database, policy, guard
        self.users, self.store = SqlAccounts(database), SqlFactors(database)
        self.keys = DataKeys(SqlDataKeys(database), lambda: ClusterSecrets(KEY))
        self.factors = SecondFactors(self.store, self.keys, policy, guard, NoCache())

    async def account(self, name: str = "anna") -> Account:
        return (await self.users.get(f"id-{name}")).account

    async def make(self, name: str = "anna", *roles: AccountRole) -> Account:
        account = Account(f"id-{name}", name, name, frozenset(roles), False, WallMs(1), WallMs(2))
        return await self.users.create(StoredAccount(account, Secret("hash")))

    async def enrolment(self, name: str = "anna") -> Enrolment:
        factor = await self.store.read(f"id-{name}")
        sealed = factor.sealed or factor.pending
        assert sealed is not None
        return read_enrolment(await self.keys.unseal(sealed, _place(f"id-{name}")))

    async def code(self, away: int = 1, name: str = "anna") -> str:
        """The code of so many steps from now, by the database's clock."""
        one, factor = await self.enrolment(name), await self.store.read(f"id-{name}")
        return code_at(one, step_at(one, factor.now) + away)

    async def enrol(self, name: str = "anna") -> list[Secret]:
        """By the code of now; that of the next step stays unused, and is good already."""
        await self.factors.propose(f"id-{name}")
        return await self.factors.confirm(f"id-{name}", await self.code(0, name), CLIENT)

    async def begin(self, name: str = "anna") -> Secret:
        token = await self.factors.begin(await self.account(name), CLIENT)
        assert token is not None
        return token.token


@pytest.fixture
def policy() -> Policy:
    return Policy()


@pytest.fixture
def guard() -> CountingGuard:
    return CountingGuard()


@pytest.fixture
async def nodes(url: str, open_database: Callable[..., Any], policy: Policy, guard: CountingGuard) -> list[Node]:
    return [Node(await open_database(url), policy, guard) for _ in range(3)]


async def test_an_enrolment_is_confirmed_sealed_and_asked_for(nodes: list[Node]) -> None:
    one, two, _ = nodes
    assert await one.factors.begin(await one.make(), CLIENT) is None, "nobody has to"
    proposal = await one.factors.propose("id-anna")
    assert (proposal.digits, proposal.period_s) == (6, 30)
    assert await one.factors.begin(await one.account(), CLIENT) is None, "not confirmed yet"
    with pytest.raises(CodeNotTaken):
        await two.factors.confirm("id-anna", "000000", CLIENT)
    codes = await two.factors.confirm("id-anna", await two.code(), CLIENT)
    assert len(codes) == 10
    account = await one.account()
    assert (account.has_mfa, account.revision, account.auth_epoch) == (True, 2, 1)
    loaded = await SqlSessions(one.database).facts("id-anna")
    assert loaded is not None
    assert loaded.facts.has_mfa
    step = await one.factors.begin(account, CLIENT)
    assert step is not None
    assert step.enrolled
    with pytest.raises(MfaEnrolled):
        await one.factors.propose("id-anna")
    standing = await one.factors.standing("id-anna")
    assert standing == (True, False, 10)
    dump = ""
    for table in ("users", "backup_codes", "data_keys", "pending_logins", "changes"):
        dump += repr(await one.database.read(partial(rows_of, table)))
    told = [proposal.secret.reveal(), *(code.reveal() for code in codes), (await one.enrolment()).secret.hex()]
    assert not [secret for secret in told if secret in dump or secret.replace("-", "") in dump]


async def test_a_log_in_goes_on_at_another_node_and_ends_once(nodes: list[Node], guard: CountingGuard) -> None:
    one, two, three = nodes
    await one.make()
    await one.enrol()
    token = await one.begin()
    await one.database.stop()  # the node that took the password is gone
    with pytest.raises(CodeWrong):
        await two.factors.challenge(token, "not a code", CLIENT)
    account = await two.factors.challenge(token, await two.code(), CLIENT)
    assert account.name == "anna"
    assert guard.ended[-2:] == ["failed", "succeeded"]
    with pytest.raises(MfaTokenInvalid):
        await three.factors.challenge(token, await three.code(), CLIENT)
    with pytest.raises(MfaTokenInvalid):
        await three.factors.challenge(Secret("x" * 10_000), "123456", CLIENT)


async def once(tries: list[Awaitable[Any]]) -> list[Any]:
    """Of these at once exactly one succeeds; the others hear that the code is wrong."""
    done = await asyncio.gather(*tries, return_exceptions=True)
    good = [one for one in done if not isinstance(one, BaseException)]
    assert {type(one) for one in done if isinstance(one, BaseException)} <= {CodeWrong, CodeNotTaken}, done
    return good


async def test_a_code_counts_once_in_the_whole_cluster(nodes: list[Node]) -> None:
    one = nodes[0]
    await one.make()
    backup = await one.enrol()
    for code in (await one.code(), backup[0].reveal()):
        tokens = [await one.begin() for _ in range(6)]
        tries = [nodes[n % 3].factors.challenge(token, code, CLIENT) for n, token in enumerate(tokens)]
        assert len(await once([*tries])) == 1
        with pytest.raises(CodeWrong):
            await one.factors.challenge(await one.begin(), code, CLIENT)
        with pytest.raises(CodeNotTaken):
            await one.factors.prove("id-anna", code, CLIENT)
    assert (await one.factors.standing("id-anna")).codes_left == 9
    with pytest.raises(CodeWrong):
        await one.factors.challenge(await one.begin(), await one.code(-1), CLIENT)


async def test_one_log_in_ends_once_with_two_good_codes(nodes: list[Node]) -> None:
    one = nodes[0]
    await one.make()
    backup = await one.enrol()
    token = await one.begin()
    tries = [node.factors.challenge(token, code.reveal(), CLIENT) for node, code in zip(nodes, backup, strict=False)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(found, BaseException) for found in done) == 1
    assert (await one.factors.standing("id-anna")).codes_left == 9, "what lost the race was not used up"


async def test_guesses_are_bounded_for_a_log_in_and_by_the_guard(nodes: list[Node], guard: CountingGuard) -> None:
    one = nodes[0]
    await one.make()
    await one.enrol()
    token = await one.begin()
    wrong = [nodes[n % 3].factors.challenge(token, f"wrong {n}", CLIENT) for n in range(3 * ATTEMPTS_MAX)]
    done = await asyncio.gather(*wrong, return_exceptions=True)
    assert [type(found) for found in done].count(CodeWrong) == ATTEMPTS_MAX
    assert [type(found) for found in done].count(MfaTokenInvalid) == 2 * ATTEMPTS_MAX
    with pytest.raises(MfaTokenInvalid):
        await one.factors.challenge(token, await one.code(), CLIENT)
    guard.wrong_max = guard.ended.count("failed")
    token = await one.begin()
    for _ in range(2 * ATTEMPTS_MAX):
        with pytest.raises(RateLimitedError):
            await one.factors.challenge(token, await one.code(), CLIENT)
    with pytest.raises(RateLimitedError):
        await one.factors.prove("id-anna", await one.code(), CLIENT)
    guard.wrong_max += 1
    assert await one.factors.challenge(token, await one.code(), CLIENT), "whom the guard turns away has not guessed"


@pytest.mark.parametrize("what", ["password", "disabled", "deleted", "reset", "expired"])
async def test_a_log_in_ends_with_what_it_rests_on(nodes: list[Node], what: str) -> None:
    one, two, _ = nodes
    await one.make("root", AccountRole.ADMIN)
    await one.make()
    await one.enrol()
    token, code = await one.begin(), await one.code()
    if what == "password":
        await two.users.set_password("id-anna", Secret("new"), WallMs(3))
    elif what == "disabled":
        await two.users.change("id-anna", UserChange(disabled=True))
        await two.users.change("id-anna", UserChange(disabled=False))
    elif what == "deleted":
        await two.users.delete("id-anna")
        assert await two.factors.standing("id-root") == (False, False, 0)
        with pytest.raises(UserUnknown):
            await two.factors.propose("id-anna")
    elif what == "reset":
        await two.factors.reset("id-anna", "root")
    else:
        statement = text("UPDATE pending_logins SET expires_at = created_at")
        await two.database.write(lambda connection: connection.execute(statement))
    with pytest.raises(MfaTokenInvalid):
        await one.factors.challenge(token, code, CLIENT)


async def test_who_must_have_one_enrols_at_the_log_in(nodes: list[Node], policy: Policy) -> None:
    one, two, _ = nodes
    await one.make("root", AccountRole.ADMIN)
    anna = await one.make()
    policy.value = MfaPolicy(mfa_requirement="required_for_admins")
    assert await one.factors.begin(anna, CLIENT) is None
    token = await one.begin("root")
    with pytest.raises(MfaNotEnrolled):
        await one.factors.challenge(token, "123456", CLIENT)
    with pytest.raises(MfaNotEnrolled, match="not begun"):
        await two.factors.confirm_at_login(token, "123456", CLIENT)
    await two.factors.propose_at_login(token, CLIENT)
    account, codes = await two.factors.confirm_at_login(token, await two.code(0, "root"), CLIENT)
    assert (account.name, len(codes)) == ("root", 10)
    with pytest.raises(MfaTokenInvalid):
        await two.factors.confirm_at_login(token, await two.code(1, "root"), CLIENT)
    with pytest.raises(MfaRequired):
        await one.factors.disable("id-root", codes[0].reveal(), CLIENT)
    again = await one.begin("root")
    with pytest.raises(MfaEnrolled):
        await one.factors.propose_at_login(again, CLIENT)
    policy.value = MfaPolicy(mfa_requirement="required_for_all")
    assert await one.factors.begin(anna, CLIENT) is not None
    policy.value = MfaPolicy(mfa_requirement="disabled")
    assert await one.factors.begin(await one.account("root"), CLIENT) is None
    with pytest.raises(MfaDisabled):
        await one.factors.propose("id-anna")


@pytest.mark.parametrize("what", ["password", "on the host", "user", "everybody", "disabled"])
async def test_an_enrolment_that_was_begun_ends_with_the_sessions_of_the_account(
    nodes: list[Node], guard: CountingGuard, what: str
) -> None:
    one, two, _ = nodes
    await one.make("root", AccountRole.ADMIN)
    await one.make()

    async def end() -> None:
        sessions = SqlSessions(two.database)
        if what == "password":
            await two.users.set_password("id-anna", Secret("new"), WallMs(3))
        elif what == "on the host":
            passwords = Passwords(CHEAP)
            await Accounts(two.users, passwords, SystemClock()).reset_password("anna")
            passwords.close()
        elif what == "user":
            assert await sessions.end_user("id-anna", "test") is not None
        elif what == "everybody":
            await sessions.end_all("test")
        else:
            await two.users.change("id-anna", UserChange(disabled=True))
            await two.users.change("id-anna", UserChange(disabled=False))

    await one.factors.propose("id-anna")
    code = await one.code(0)
    await end()
    with pytest.raises(MfaNotEnrolled, match="not begun"):
        await one.factors.confirm("id-anna", code, CLIENT)
    await one.factors.propose("id-anna")
    code, guard.meanwhile = await one.code(0), end()
    with pytest.raises(CodeNotTaken):
        await one.factors.confirm("id-anna", code, CLIENT)
    assert not (await one.account()).has_mfa
    await one.enrol()


async def test_two_enrolments_at_once_leave_one(nodes: list[Node]) -> None:
    one = nodes[0]
    await one.make()
    await asyncio.gather(*(node.factors.propose("id-anna") for node in nodes))
    code = await one.code()
    good = []
    for found in await asyncio.gather(
        *(node.factors.confirm("id-anna", code, CLIENT) for node in nodes), return_exceptions=True
    ):
        if isinstance(found, BaseException):
            assert isinstance(found, CodeNotTaken | MfaEnrolled)
        else:
            good.append(found)
    assert len(good) == 1
    assert (await one.factors.standing("id-anna")).codes_left == 10
    await one.factors.prove("id-anna", good[0][9].reveal(), CLIENT)


async def test_codes_are_replaced_and_the_factor_goes(nodes: list[Node]) -> None:
    one, two, _ = nodes
    await one.make()
    old = await one.enrol()
    new = await two.factors.new_codes("id-anna", old[0].reveal(), CLIENT)
    assert (await one.factors.standing("id-anna")).codes_left == 10
    with pytest.raises(CodeNotTaken):
        await one.factors.prove("id-anna", old[1].reveal(), CLIENT)
    await one.factors.prove("id-anna", await one.code(), CLIENT)
    with pytest.raises(CodeNotTaken):
        await one.factors.disable("id-anna", "123", CLIENT)
    epoch = (await one.account()).auth_epoch
    await one.factors.disable("id-anna", new[0].reveal(), CLIENT)
    account = await two.account()
    assert (account.has_mfa, account.auth_epoch) == (False, epoch), "its owner goes on"
    for refused in (
        one.factors.prove("id-anna", new[1].reveal(), CLIENT),
        one.factors.new_codes("id-anna", new[1].reveal(), CLIENT),
        one.factors.disable("id-anna", new[1].reveal(), CLIENT),
    ):
        with pytest.raises(MfaNotEnrolled):
            await refused
    await one.enrol()
    await two.factors.reset("id-anna", "root")
    account = await two.account()
    assert (account.has_mfa, account.auth_epoch) == (False, epoch + 1), "who lost it has lost the sessions, too"


async def test_a_factor_copied_to_another_account_does_not_open(nodes: list[Node], guard: CountingGuard) -> None:
    one = nodes[0]
    await one.make()
    await one.make("mallory")
    await one.enrol()
    await one.enrol("mallory")
    code = await one.code(0, "mallory")
    copied = text(
        "UPDATE users SET totp_secret = (SELECT totp_secret FROM users WHERE id = 'id-mallory') WHERE id = 'id-anna'"
    )
    await one.database.write(lambda connection: connection.execute(copied))
    with pytest.raises(SealBroken):
        await one.factors.challenge(await one.begin(), code, CLIENT)
    assert guard.ended[-1] == "abandoned"
