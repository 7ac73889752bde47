"""Every event of the catalogue as OCSF, held against the published schema.

``ocsf_1_3_0.json`` is what schema.ocsf.io publishes of the classes and objects that are used: type of each attribute,
``!`` where it is required, ``@`` the profile that brings it, and values of enumerations.
"""

import json
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest

from rppam.app.slices import ACTIONS
from rppam.siem.formats import written
from rppam.siem.model import Format
from tests.siem.receivers import event

SCHEMA: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("ocsf_1_3_0.json").read_text(encoding="utf-8"))
_WORDS: Final = {"string_t", "ip_t"}
_NUMBERS: Final = {"integer_t", "long_t", "timestamp_t"}
NOBODY: Final = {"kind": "anonymous", "id": "", "name": "", "session": "", "address": ""}
ACTORS: Final = {
    "user": {"kind": "user", "id": "id-sue", "name": "sue", "session": "s-1", "address": "10.0.0.7"},
    "forgotten": {"kind": "user", "id": "id-sue", "name": "", "session": "", "address": "2001:db8:0:1::/64"},
    "anonymous": NOBODY | {"address": "10.0.0.7"},
    "node": NOBODY | {"kind": "node"},
    "host": NOBODY | {"kind": "host", "name": "admin"},
}
OBJECTS: Final = {
    "whole": {"id": "id-x", "name": "anna"},
    "forgotten": {"id": "id-x", "name": ""},
    "none": {"id": "", "name": ""},
}


def flaws(document: Mapping[str, Any]) -> list[str]:
    """What is wrong with an event."""
    schema = SCHEMA["classes"].get(str(document["class_uid"]))
    if schema is None:
        return [f"class {document['class_uid']}"]
    found = list(_object("", document, schema, set(document["metadata"].get("profiles", []))))
    if document["category_uid"] != schema["category_uid"]:
        found.append("category_uid")
    if document["type_uid"] != document["class_uid"] * 100 + document["activity_id"]:
        found.append("type_uid")
    if not set(document["metadata"].get("profiles", [])) <= set(schema["profiles"]):
        found.append("metadata.profiles")
    return found


def _object(place: str, value: Mapping[str, Any], schema: Mapping[str, Any], profiles: set[str]) -> Iterator[str]:
    known: Mapping[str, str] = schema["attributes"]
    for name, word in known.items():
        profile = word.partition("@")[2].partition(" ")[0]
        if word.endswith("!") and name not in value and (not profile or profile in profiles):
            yield f"{place}{name} is required"
    if (some := schema.get("at_least_one")) and not set(some) & set(value):
        yield f"{place} needs one of {some}"
    for name, one in value.items():
        if name not in known:
            yield f"{place}{name} is no attribute"
            continue
        word = known[name].removesuffix(" !")
        type_, _, profile = word.partition(" @")
        if profile and profile not in profiles:
            yield f"{place}{name} belongs to the profile {profile}"
        if name in schema.get("enums", {}) and one not in schema["enums"][name]:
            yield f"{place}{name} is {one}"
        yield from _values(f"{place}{name}", one, type_, profiles)


def _values(place: str, value: Any, type_: str, profiles: set[str]) -> Iterator[str]:
    if type_.endswith("[]"):
        if not isinstance(value, list) or not value:
            yield f"{place} is no list with something in it"
            return
        for one in value:
            yield from _values(place, one, type_.removesuffix("[]"), profiles)
    elif type_ in _WORDS:
        if not isinstance(value, str) or not value:
            yield f"{place} is no word: {value!r}"
        elif type_ == "ip_t":
            try:
                ip_address(value)
            except ValueError:
                yield f"{place} is no address: {value}"
    elif type_ in _NUMBERS:
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"{place} is no number: {value!r}"
    elif not isinstance(value, dict):
        yield f"{place} is no object: {value!r}"
    elif type_ != "object":
        yield from _object(f"{place}.", value, SCHEMA["objects"][type_], profiles)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_each_action_is_an_event_of_the_published_schema(action: str) -> None:
    found = set()
    for who, actor in ACTORS.items():
        for what, thing in OBJECTS.items():
            for outcome in ("success", "failure"):
                body = {"action": action, "actor": actor, "object": {"kind": ACTIONS[action].object, **thing}}
                one = event(
                    7,
                    **body,
                    outcome=outcome,
                    reason="why" if outcome == "failure" else "",
                    details={"role": "pam_user"},
                )
                found |= {f"{who}, {what}: {flaw}" for flaw in flaws(json.loads(written(one, Format.OCSF)))}
    assert found == set()


def test_a_test_event_which_has_no_index_and_no_object_is_one_too() -> None:
    body = {"action": "siem.test", "object": {"kind": "siem-target", "id": "", "name": ""}, "epoch": None}
    assert flaws(json.loads(written(event(None, **body, node=""), Format.OCSF))) == []


@pytest.mark.parametrize(
    ("action", "class_uid", "activity"),
    [
        ("session.open", 3002, 1),
        ("login.fail", 3002, 1),
        ("access.login", 3002, 1),
        ("session.end", 3002, 2),
        ("user.create", 3001, 1),
        ("user.password", 3001, 3),
        ("lockout.begin", 3001, 9),
        ("mfa.enrol", 3001, 10),
        ("passkey.remove", 3001, 11),
        ("role.grant", 3005, 1),
        ("role.revoke", 3005, 2),
        ("secret.reveal", 6003, 2),
        ("secret.delete", 6003, 4),
        ("setting.change", 6003, 3),
        ("leader.elect", 6003, 99),
    ],
)
def test_what_each_act_is(action: str, class_uid: int, activity: int) -> None:
    read = json.loads(written(event(1, action=action), Format.OCSF))
    assert (read["class_uid"], read["activity_id"]) == (class_uid, activity)
    assert (read.get("activity_name") == action) is (activity == 99), "what has no name there has ours"


def test_what_an_analyst_asks_for_first() -> None:
    one = event(7, action="role.grant", details={"role": "pam_admin"}, outcome="failure", reason="not allowed")
    read = json.loads(written(one, Format.OCSF))
    assert read["privileges"] == ["pam_admin"]
    assert read["actor"]["user"] == {"uid": "id-sue", "name": "sue", "type": "User", "type_id": 1}
    assert read["actor"]["session"] == {"uid": "s"}
    assert read["user"] == {"uid": "x", "name": "anna", "type": "User", "type_id": 1}
    assert read["src_endpoint"] == {"ip": "10.0.0.7"}
    assert read["device"]["hostname"] == "node1"
    assert read["metadata"]["uid"] == "id-7"
    assert read["metadata"]["sequence"] == 7
    assert (read["status_id"], read["status_detail"]) == (2, "not allowed")
    acts = {"kind": "node", "id": "", "name": "", "session": "", "address": ""}
    itself = json.loads(written(event(7, action="leader.elect", actor=acts), Format.OCSF))
    assert itself["actor"]["user"] == {"name": "node1", "type": "System", "type_id": 3}
    assert itself["src_endpoint"] == {"name": "node1"}
    made = json.loads(
        written(event(7, action="secret.reveal", object={"kind": "secret", "id": "e1", "name": "root"}), Format.OCSF)
    )
    assert made["api"] == {"operation": "secret.reveal", "service": {"name": "RP-PAM"}}
    assert made["resources"] == [{"type": "secret", "uid": "e1", "name": "root"}]


def test_the_schema_finds_what_is_wrong() -> None:
    good = json.loads(written(event(7), Format.OCSF))
    assert flaws(good) == []
    without = {name: value for name, value in good.items() if name != "user"}
    assert flaws(without) == ["user is required"]
    assert flaws(good | {"user": {}}) == ["user. needs one of ['account', 'name', 'uid']"]
    assert flaws(good | {"colour": "red"}) == ["colour is no attribute"]
    assert flaws(good | {"severity_id": 17}) == ["severity_id is 17"]
    assert flaws(good | {"src_endpoint": {"ip": "10.0.0.700"}}) == ["src_endpoint.ip is no address: 10.0.0.700"]
