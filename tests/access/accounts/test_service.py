"""Login, the first administrator and a lost password, over accounts kept in memory."""

import asyncio
import itertools
import logging
import operator

import nacl.pwhash
import pytest

from rppam.access.accounts.errors import AccountUnknown, DisplayNameInvalid, InvalidCredentials, NameInvalid
from rppam.access.accounts.model import AccountRole, check_display_name, name_skeletons, normalise_name
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import PASSWORD_ALPHABET, Accounts, random_password
from rppam.db.errors import DatabaseUnknown
from rppam.kernel.secret import Secret
from tests.support.shelf import CHEAP, Shelf, Still


async def test_the_first_administrator_is_made_once_and_can_log_in(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first = await accounts.ensure_first_admin()
    assert first is not None
    assert await accounts.ensure_first_admin() is None
    account = await accounts.login("ADMIN", first.password, "127.0.0.1")
    assert (account.name, account.roles, account.disabled) == ("admin", frozenset({AccountRole.ADMIN}), False)
    assert first.password.reveal() not in caplog.text + repr(first) + str(first)


async def test_two_services_at_once_make_one_administrator(shelf: Shelf, passwords: Passwords, clock: Still) -> None:
    made = await asyncio.gather(*(Accounts(shelf, passwords, clock).ensure_first_admin() for _ in range(4)))
    assert sum(admin is not None for admin in made) == 1


def test_random_passwords_are_long_readable_and_never_the_same() -> None:
    passwords = {random_password().reveal() for _ in range(200)}
    assert len(passwords) == 200
    for password in passwords:
        groups = password.split("-")
        assert [len(group) for group in groups] == [6, 6, 6, 6]
        assert set("".join(groups)) <= set(PASSWORD_ALPHABET)
    assert not set("0Oo1lI") & set(PASSWORD_ALPHABET)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("admin", "wrong password"),
        ("nobody", "wrong password"),
        ("", "x"),
        ("ad\0min", "x"),
        ("аdmin", "wrong password"),  # Cyrillic
        ("admin", ""),
        ("admin", "half \ud800"),
        ("admin", "x" * 1_000_000),
        ("x" * 1_000_000, "x"),
        ("\ud800", "x"),
    ],
)
async def test_every_refused_login_says_the_same(accounts: Accounts, name: str, password: str) -> None:
    await accounts.ensure_first_admin()
    with pytest.raises(InvalidCredentials) as caught:
        await accounts.login(name, Secret(password), "127.0.0.1")
    assert str(caught.value) == "User name or password is wrong."


async def test_a_disabled_account_is_refused_like_a_wrong_password(accounts: Accounts, shelf: Shelf) -> None:
    first = await accounts.ensure_first_admin()
    assert first is not None
    stored = shelf.by_name["admin"]
    shelf.by_name["admin"] = stored._replace(account=stored.account._replace(disabled=True))
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", first.password, "127.0.0.1")


async def test_an_unknown_name_costs_a_hash_too(
    shelf: Shelf, accounts: Accounts, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accounts.ensure_first_admin()
    hashed: list[str] = []
    true_verify = nacl.pwhash.argon2id.verify

    def verify(hash_: bytes, raw: bytes) -> bool:
        hashed.append(hash_.decode())
        return true_verify(hash_, raw)

    monkeypatch.setattr(nacl.pwhash.argon2id, "verify", verify)
    for name in ("admin", "nobody", "no name at all"):
        with pytest.raises(InvalidCredentials):
            await accounts.login(name, Secret("wrong password"), "127.0.0.1")
    assert len(hashed) == 3
    assert len({value.rsplit("$", 2)[0] for value in hashed}) == 1, "all at the same cost"


async def test_what_is_typed_into_the_name_field_is_not_logged(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidCredentials):
        await accounts.login("my-secret-password", Secret("oops"), "10.0.0.7")
    assert "my-secret-password" not in caplog.text
    assert "10.0.0.7" in caplog.text


async def test_a_login_moves_the_hash_to_todays_parameters(shelf: Shelf, clock: Still, accounts: Accounts) -> None:
    first = await accounts.ensure_first_admin()
    assert first is not None
    old = shelf.by_name["admin"].password_hash
    dearer = Passwords(CHEAP._replace(passes=2))
    later = Accounts(shelf, dearer, clock)
    shelf.fails_on_rehash = True
    assert (await later.login("admin", first.password, "127.0.0.1")).name == "admin", (
        "a failed rehash is no failed login"
    )
    assert shelf.by_name["admin"].password_hash == old
    shelf.fails_on_rehash = False
    await later.login("admin", first.password, "127.0.0.1")
    new = shelf.by_name["admin"].password_hash
    assert "t=2" in new.reveal()
    assert "t=1" in old.reveal()
    await later.login("admin", first.password, "127.0.0.1")
    assert shelf.by_name["admin"].password_hash == new
    dearer.close()


async def test_a_reset_password_is_new_and_dated(accounts: Accounts, shelf: Shelf, clock: Still) -> None:
    first = await accounts.ensure_first_admin()
    assert first is not None
    clock.wall = 2_000
    password = await accounts.reset_password("Admin")
    assert password != first.password
    assert (await accounts.login("admin", password, "127.0.0.1")).password_changed_at == 2_000
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", first.password, "127.0.0.1")
    with pytest.raises(AccountUnknown):
        await accounts.reset_password("nobody")
    with pytest.raises(NameInvalid):
        await accounts.reset_password("no name")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("Admin", "admin"),
        ("ＡＤＭＩＮ", "admin"),
        ("jane.doe+pam@example.org", "jane.doe+pam@example.org"),
        ("\u212aarl", "karl"),  # the Kelvin sign
        ("o\ufb03ce", "office"),  # a ligature
        ("x" * 64, "x" * 64),
    ],
)
def test_names_have_one_form(typed: str, name: str) -> None:
    assert normalise_name(typed) == name
    assert normalise_name(name) == name


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "x" * 65,
        "a b",
        ".hidden",
        "-x",
        "аdmin",
        "admın",
        "jörg",
        "a\0",
        "a\n",
        "ad\u200bmin",
        "\ufdfa" * 200,
        "../x",
        "a'--",
    ],
)
def test_what_is_no_name_is_refused_without_being_repeated(typed: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        normalise_name(typed)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Bo b", "found a blank as character 3."),
        ("a'--", 'found "\'" as character 2.'),
        ("jo\u0308rg", "found U+0308 as character 3."),
        ("a\n", "found U+000A as character 2."),
        (".hidden", "found '.' as the first character."),
        ("", "found 0 characters."),
        ("x" * 65, "found 65 characters."),
    ],
)
def test_a_name_that_is_none_is_told_what_does_not_fit_in_it(typed: str, found: str) -> None:
    with pytest.raises(NameInvalid) as caught:
        normalise_name(typed)
    assert found in str(caught.value)


def test_names_that_look_alike_have_one_skeleton() -> None:
    def alike(one: str, other: str) -> bool:
        return any(map(operator.eq, name_skeletons(one), name_skeletons(other)))

    for one, other in (
        ("r00t", "root"),
        ("modern", "modem"),
        ("user1", "userl"),
        ("adm1n", "admin"),
        ("vvest", "west"),
    ):
        assert alike(one, other)
    names = ("karl", "kari", "anna", "ana", "node-2", "node-3", "user-10", "user-11", "west", "vest")
    assert not [pair for pair in itertools.combinations(names, 2) if alike(*pair)]


@pytest.mark.parametrize("text", ["", "Jörg Ω", "山田 太郎", "می\u200cخواهم", "👩\u200d💻", "x" * 100])
def test_people_of_every_script_have_a_display_name(text: str) -> None:
    assert check_display_name(f"  {text} ") == text


@pytest.mark.parametrize(
    "text", ["a\nb", "a\0", "\u202etxt", "\u2066x", "\ud800", "\ue000", "x" * 101, "\u0344" * 100, "x" * 1_000_000]
)
def test_what_misleads_a_reader_is_no_display_name(text: str) -> None:
    with pytest.raises(DisplayNameInvalid) as caught:
        check_display_name(text)
    assert len(str(caught.value)) < 120


async def test_a_refusal_that_cannot_be_recorded_stays_one_and_is_logged(
    shelf: Shelf, accounts: Accounts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await accounts.ensure_first_admin()
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", Secret("wrong password"), "127.0.0.1")
    with pytest.raises(InvalidCredentials):
        await accounts.login("hunter2", Secret("wrong password"), "127.0.0.1")
    assert shelf.refusals == [("admin", "wrong password"), ("", "unknown user name")]

    async def away(*_: object) -> None:
        raise DatabaseUnknown("no answer")

    monkeypatch.setattr(shelf, "record_refusal", away)
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", Secret("wrong password"), "127.0.0.1")
    assert "could not be recorded" in caplog.text
