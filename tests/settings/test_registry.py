"""Settings are read strictly: everything wrong is named, with what was expected, what was found and the fix."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from rppam.access.mfa.policy import MFA
from rppam.access.sessions.policy import SESSIONS, SessionPolicy
from rppam.config.wording import WORD_MAX, nearest, shown
from rppam.settings.errors import SettingInvalid, SettingUnknown
from rppam.settings.model import FLAWS_MAX, TOGETHER, UNKNOWN, WRONG, Setting
from rppam.settings.registry import SETTINGS, find_setting


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)
def test_every_setting_reads_what_it_writes(setting: Setting[Any]) -> None:
    area, _, rest = setting.name.partition("/")
    assert area.isidentifier()
    assert rest.isidentifier()
    whole = json.loads(json.dumps(setting.write(setting.default)))
    assert setting.read(whole) == setting.default
    assert setting.read({}) == setting.default
    for field in whole:
        assert setting.read({name: value for name, value in whole.items() if name != field}) == setting.default
    with pytest.raises(SettingInvalid) as caught:
        setting.read({**whole, "noSuchField": 1})
    assert [(flaw.field, flaw.kind) for flaw in caught.value.flaws] == [("noSuchField", UNKNOWN)]


def test_a_field_left_out_has_its_default() -> None:
    assert SESSIONS.read({"idleMinutes": 5}) == SessionPolicy(idle_minutes=5)
    assert SessionPolicy().idle_ms == 1_800_000
    assert SessionPolicy().absolute_ms == 43_200_000


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingInvalid) as caught:
        SESSIONS.read({"idleMinuts": 5, "idleMinutes": "30", "absoluteHours": 1e9, "\x1b[31m": None})
    flaws = caught.value.flaws
    assert [(flaw.field, flaw.kind) for flaw in flaws] == [
        ("idleMinuts", UNKNOWN),
        ("idleMinutes", WRONG),
        ("absoluteHours", WRONG),
        ("\\u001b[31m", UNKNOWN),
    ]
    assert flaws[0].message == "there is no such field. Did you mean 'idleMinutes'?"
    assert flaws[1].message == 'expected whole minutes from 1 to 1440, found "30". Take the quotes away.'
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [None, True, 0, -1, 1441, 30.5, "30", [30], {"minutes": 30}, 10**400])
def test_no_other_value_is_taken(value: object) -> None:
    with pytest.raises(SettingInvalid):
        SESSIONS.read({"idleMinutes": value})


class Unread(str):
    """A text whose characters nobody looks at one by one."""

    __slots__ = ()

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("each character was looked at, which holds the loop of a worker")


@pytest.mark.parametrize("field", ["mfaRequirement", "totpIssuer"])
def test_a_text_that_no_setting_can_be_is_refused_unread(field: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        MFA.read({field: Unread("optionaly" * 100_000)})
    [flaw] = caught.value.flaws
    assert f"expected {MFA.expected[field]}, found a text of 900000 characters. Write " in flaw.message
    assert "optionaly" not in flaw.message
    with pytest.raises(SettingInvalid, match="no such field"):
        MFA.read({"mfaRequirement" * 100_000: "optional"})


def test_only_a_word_is_taken_for_a_misspelt_one() -> None:
    assert nearest("Optionaly", ["optional"]) == "optional"
    assert nearest("x" * (WORD_MAX + 1), ["x" * WORD_MAX]) is None
    assert shown("\n" * 100_000) == shown("\n" * 61) == '"' + "\\n" * 29 + "\\..."


def test_fields_that_cannot_be_together() -> None:
    assert SESSIONS.read({"idleMinutes": 60, "absoluteHours": 1}).idle_ms == 3_600_000
    with pytest.raises(SettingInvalid) as caught:
        SESSIONS.read({"idleMinutes": 61, "absoluteHours": 1})
    assert [flaw.kind for flaw in caught.value.flaws] == [TOGETHER]


def test_a_flood_of_wrong_fields_makes_a_short_answer() -> None:
    with pytest.raises(SettingInvalid) as caught:
        SESSIONS.read({f"{number}" + "x" * 10_000: number for number in range(5_000)})
    assert len(caught.value.flaws) == FLAWS_MAX
    assert len(str(caught.value)) < 10_000


def test_an_unknown_setting_is_answered_with_the_nearest() -> None:
    assert find_setting("security/sessions") is SESSIONS
    with pytest.raises(SettingUnknown, match=r"did you mean security/sessions\?"):
        find_setting("security/session")
    with pytest.raises(SettingUnknown, match=r"there are .*security/sessions"):
        find_setting("x" * 10_000)
