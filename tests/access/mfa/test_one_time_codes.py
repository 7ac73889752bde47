"""One-time codes against the RFC's own vectors, and what people type."""

import urllib.parse

import pytest

from rppam.access.mfa.model import Enrolment, MfaRequirement
from rppam.access.mfa.one_time_codes import (
    STEPS_AROUND,
    backup_hash,
    base32,
    code_at,
    enrolment_text,
    is_backup,
    new_backup_codes,
    new_enrolment,
    otpauth_uri,
    read_enrolment,
    step_at,
    step_of,
)
from rppam.access.mfa.policy import MFA
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.settings.errors import SettingInvalid

RFC = Enrolment(b"12345678901234567890", 8, 30)
NOON = WallMs(1_772_366_400_000)


@pytest.mark.parametrize(
    ("second", "code"),
    [  # RFC 6238, appendix B
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_the_rfc(second: int, code: str) -> None:
    now = WallMs(second * 1000)
    assert code_at(RFC, step_at(RFC, now)) == code
    assert step_of(RFC, code, now, after=-1) == second // 30


def test_codes_around_now_are_good_and_no_others() -> None:
    one = new_enrolment(6, 30)
    here = step_at(one, NOON)
    near = [step_of(one, code_at(one, here + away), NOON, after=-1) for away in range(-4, 5)]
    assert near == [None] * 3 + [here - 1, here, here + 1] + [None] * 3
    assert STEPS_AROUND == 1


def test_a_step_is_good_only_after_the_last_one() -> None:
    one = new_enrolment(6, 30)
    here = step_at(one, NOON)
    assert step_of(one, code_at(one, here), NOON, after=here - 1) == here
    assert step_of(one, code_at(one, here), NOON, after=here) is None
    assert step_of(one, code_at(one, here - 1), NOON, after=here) is None
    assert step_of(one, code_at(one, here + 1), NOON, after=here) == here + 1


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "１２３４５６", "\ud800", "0" * 10**6, "-" * 60])
def test_what_is_no_code_is_none(typed: str) -> None:
    assert step_of(new_enrolment(6, 30), typed, NOON, after=-1) is None
    assert not is_backup(typed)


def test_spaces_and_hyphens_do_not_matter() -> None:
    one = new_enrolment(6, 30)
    code = code_at(one, step_at(one, NOON))
    assert step_of(one, f" {code[:3]} {code[3:]} ", NOON, after=-1) == step_at(one, NOON)
    [backup] = new_backup_codes(1)
    text = backup.reveal()
    spelled = text.upper().replace("-", " ")
    assert is_backup(text)
    assert is_backup(spelled)
    assert backup_hash("u", text) == backup_hash("u", spelled)
    assert backup_hash("u", text) != backup_hash("v", text)


def test_backup_codes_are_random_and_never_shown_by_accident() -> None:
    codes = new_backup_codes(500)
    assert len({code.reveal() for code in codes}) == 500
    assert {len(code.reveal()) for code in codes} == {19}
    assert codes[0].reveal() not in repr(codes) + str(codes)


def test_an_authenticator_is_given_what_it_needs() -> None:
    one = new_enrolment(7, 60)
    uri = urllib.parse.urlsplit(otpauth_uri(one, "jane+x@example.org", "RP-PAM & co").reveal())
    fields = dict(urllib.parse.parse_qsl(uri.query))
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert urllib.parse.unquote(uri.path) == "/RP-PAM & co:jane+x@example.org"
    assert fields["secret"] == base32(one).reveal().rstrip("=")
    assert (fields["issuer"], fields["digits"], fields["period"]) == ("RP-PAM & co", "7", "60")


def test_an_enrolment_comes_back_from_its_text() -> None:
    one = new_enrolment(8, 45)
    assert read_enrolment(enrolment_text(one)) == one
    for text in ("", "[]", "{}", '{"s":"zz","d":6,"p":30}', '{"s":1,"d":6,"p":30}', "null"):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_enrolment(Secret(text))


def test_the_setting_is_the_products_and_strict() -> None:
    assert MFA.write(MFA.default) == {
        "mfaRequirement": "optional",
        "totpIssuer": "RP-PAM",
        "totpDigits": 6,
        "totpPeriodSeconds": 30,
        "backupCodeCount": 10,
    }
    assert MFA.read({"mfaRequirement": "required_for_all"}).requirement is MfaRequirement.ALL
    wrong = {"mfaRequirement": "sometimes", "totpIssuer": "a:b", "totpDigits": 5, "totpPeriodSeconds": "30", "x": 1}
    with pytest.raises(SettingInvalid) as caught:
        MFA.read(wrong)
    assert {flaw.field for flaw in caught.value.flaws} == set(wrong)
