"""Argon2id: its parameters, its bounds, and what it does to the event loop."""

import asyncio
import re
import threading
import unicodedata
from typing import Any

import argon2
import pytest

from rppam.access.accounts.errors import Overloaded, PasswordUnfit
from rppam.access.accounts.model import AccountRole
from rppam.access.accounts.passwords import DEFAULT_PARAMETERS, HashParameters, Passwords
from rppam.access.accounts.policy import PASSWORDS, PasswordPolicy, PasswordRule, PasswordRules
from rppam.access.mfa.policy import MFA, MfaPolicy
from rppam.kernel.secret import Secret

CHEAP = HashParameters(memory_kib=64, passes=1)


async def test_the_default_is_argon2id_at_the_owasp_floor_or_above() -> None:
    passwords = Passwords()
    hashed = await passwords.hash(Secret("correct horse"))
    match = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=1\$[\w+/]{22}\$[\w+/]{43}", hashed.reveal())
    assert match, "16 bytes of salt, 32 of hash"
    assert int(match[1]) >= 19_456
    assert int(match[2]) >= 2
    assert (int(match[1]), int(match[2])) == DEFAULT_PARAMETERS
    assert argon2.PasswordHasher().verify(hashed.reveal(), "correct horse"), "others can check it, too"
    verdict = await passwords.verify(Secret("correct horse"), hashed)
    assert verdict == (True, False)
    assert not (await passwords.verify(Secret("Correct horse"), hashed)).matches
    assert await passwords.hash(Secret("correct horse")) != hashed, "each hash has a salt of its own"
    passwords.close()


async def test_bounds_of_a_new_password() -> None:
    passwords = Passwords(CHEAP)
    for fits in ("12345678", "x" * 1024, "ä" * 8, "spaces are fine", "🔑" * 8):
        hashed = await passwords.hash(Secret(fits))
        assert (await passwords.verify(Secret(fits), hashed)).matches
    for unfit, told in (
        ("", "at least 8 characters, found 0"),
        ("ä" * 7, "found 7"),
        ("x" * 1025, "at most 1024"),
        ("ä" * 513, "at most 1024"),
        ("x" * 10_000_000, "at most 1024"),
        ("nul\0 inside", "control character"),
        ("new\nline here", "control character"),
        ("half \ud800 pair", "broken"),
    ):
        with pytest.raises(PasswordUnfit, match=told) as caught:
            await passwords.hash(Secret(unfit))
        assert not unfit or unfit[:20] not in str(caught.value)
    passwords.close()


async def test_one_password_typed_on_two_keyboards() -> None:
    passwords = Passwords(CHEAP)
    composed, decomposed = (unicodedata.normalize(form, "Grüße Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    hashed = await passwords.hash(Secret(composed))
    assert (await passwords.verify(Secret(decomposed), hashed)).matches
    assert (await passwords.verify(Secret(composed.replace(" ", "\u00a0")), hashed)).matches
    assert not (await passwords.verify(Secret("Grusse Zoe"), hashed)).matches
    passwords.close()


async def test_bytes_after_nul_count() -> None:
    passwords = Passwords(CHEAP)
    others = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, hash_len=32, salt_len=16)
    hashed = Secret(others.hash("secret\0one"))
    assert (await passwords.verify(Secret("secret\0one"), hashed)).matches
    assert not (await passwords.verify(Secret("secret\0two"), hashed)).matches
    assert not (await passwords.verify(Secret("secret"), hashed)).matches
    passwords.close()


async def test_other_parameters_are_stale_and_a_broken_hash_never_matches() -> None:
    old, new = Passwords(CHEAP), Passwords(CHEAP._replace(memory_kib=128))
    hashed = await old.hash(Secret("password"))
    assert await new.verify(Secret("password"), hashed) == (True, True)
    assert await new.verify(Secret("passwort"), hashed) == (False, False)
    for broken in ("", "x", hashed.reveal()[:-5], "$argon2id$v=19$m=0,t=0,p=0$AA$AA"):
        assert await new.verify(Secret("password"), Secret(broken)) == (False, False)
    assert await new.verify(Secret("nobody has this password"), None) == (False, False)
    for passwords in (old, new):
        passwords.close()


async def test_more_than_the_queue_holds_is_refused_at_once_and_room_comes_back() -> None:
    passwords = Passwords(CHEAP, threads=2, waiting_max=3)
    release, begun = threading.Event(), threading.Semaphore(0)

    def slow() -> str:
        begun.release()
        assert release.wait(20)
        return "done"

    tasks = [asyncio.create_task(passwords._run(slow)) for _ in range(5)]
    await asyncio.to_thread(begun.acquire)
    await asyncio.to_thread(begun.acquire)
    with pytest.raises(Overloaded, match="5 password checks are in hand"):
        await passwords.verify(Secret("password"), None)
    tasks[4].cancel()  # a caller that hangs up while waiting leaves its place
    with pytest.raises(asyncio.CancelledError):
        await tasks[4]
    late = asyncio.create_task(passwords._run(slow))
    await asyncio.sleep(0)
    tasks[0].cancel()  # one that hangs up while its hash is computed does not: the thread is still busy
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    with pytest.raises(Overloaded):
        await passwords.verify(Secret("password"), None)
    release.set()
    assert await asyncio.gather(*tasks[1:4], late) == ["done"] * 4
    assert not (await passwords.verify(Secret("password"), None)).matches
    passwords.close()
    with pytest.raises(Overloaded, match="stopping"):
        await passwords.verify(Secret("password"), None)


async def test_hashing_never_runs_on_the_event_loop() -> None:
    passwords = Passwords(CHEAP, threads=1)
    here = threading.get_ident()
    there = await passwords._run(threading.get_ident)
    assert there != here
    passwords.close()


ALONE, SECOND = PasswordRule(15, "jane", False), PasswordRule(8, "jane", True)


@pytest.mark.parametrize(
    ("text", "rule", "told"),
    [
        ("fourteen chars", ALONE, "at least 15 characters without a second factor, found 14"),
        ("äöüßäöü", SECOND, "at least 8 characters with a second factor, found 7"),
        ("Password", SECOND, "many people have it"),
        ("iloveyou", SECOND, "many people have it"),
        ("!Password2024!", SECOND, "many people have it"),
        ("passwordpassword", ALONE, "over and over"),
        ("abababababababab", ALONE, "over and over"),
        ("xxxxxxxxxxxxxxxxxx", ALONE, "over and over"),
        ("abcdefghijklmnopqrst", ALONE, "a run along"),
        ("zyxwvuts", SECOND, "a run along"),
        ("uytrewqpoiuy", SECOND, "a run along"),
        ("W.Kowalczyk-77", SECOND._replace(user="w.kowalczyk"), "little more than the name"),
        ("rppam-26", SECOND, "little more than the name"),
    ],
)
async def test_passwords_that_are_short_or_tried_first_are_refused(text: str, rule: PasswordRule, told: str) -> None:
    passwords = Passwords(CHEAP)
    with pytest.raises(PasswordUnfit, match=told) as caught:
        await passwords.hash(Secret(text), rule)
    assert text not in str(caught.value)
    passwords.close()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("fifteen letters", ALONE),
        ("seven ripe quinces in a bowl", ALONE),
        ("🔑🗝🔒🔓🔏🔐🚪🏰", SECOND),
        ("qzvk-81x", SECOND),
        ("kein sonderzeichen noetig", ALONE),
    ],
)
async def test_a_long_uncommon_password_needs_no_signs_or_digits(text: str, rule: PasswordRule) -> None:
    passwords = Passwords(CHEAP)
    assert (await passwords.verify(Secret(text), await passwords.hash(Secret(text), rule))).matches
    passwords.close()


async def test_the_length_that_is_asked_for_follows_the_second_factor() -> None:
    admin, user = frozenset({AccountRole.ADMIN}), frozenset({AccountRole.USER})
    values: dict[str, Any] = {MFA.name: MfaPolicy("required_for_admins"), PASSWORDS.name: PasswordPolicy(15, 9)}

    async def value_of(setting: Any) -> Any:
        return values[setting.name]

    rules = PasswordRules(value_of)
    assert (await rules.for_account("a", admin, has_mfa=False)).chars_min == 9
    assert (await rules.for_account("a", user, has_mfa=False)).chars_min == 15
    assert (await rules.for_account("a", user, has_mfa=True)).chars_min == 9
    values[MFA.name] = MfaPolicy("disabled")
    assert (await rules.for_account("a", admin, has_mfa=True)).chars_min == 15
