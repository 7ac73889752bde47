"""An event as one of OCSF 1.3.0, by the schema of schema.ocsf.io. Pure.

Decides the class and activity of each action, and which attributes the class has for what an event says. An attribute
that has nothing to say is left out, as the schema knows no empty words; one that is required and not known is
``unknown``. What no attribute is for stands in ``unmapped``, and an action that no activity is for has the activity 99
with its own name.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from rppam import __version__

VERSION: Final = "1.3.0"
_VENDOR: Final = "Ravenphyre"
_PRODUCT: Final = "RP-PAM"
_UNKNOWN: Final = "unknown"
_ACCOUNT, _LOGIN, _RIGHTS, _API = 3001, 3002, 3005, 6003
_CLASSES: Final[Mapping[str, int]] = {
    "login": _LOGIN,
    "session": _LOGIN,
    "access.login": _LOGIN,
    "mfa": _ACCOUNT,
    "passkey": _ACCOUNT,
    "user": _ACCOUNT,
    "lockout": _ACCOUNT,
    "role": _RIGHTS,
}
"""By the action, or its noun; all others are activity of the application."""
_ACTIVITIES: Final[Mapping[str, int]] = {
    "session.open": 1,
    "login.fail": 1,
    "access.login": 1,
    "session.end": 2,
    "session.end-all": 2,
    "user.create": 1,
    "user.enable": 2,
    "user.password": 3,
    "user.disable": 5,
    "user.delete": 6,
    "lockout.begin": 9,
    "mfa.enrol": 10,
    "passkey.add": 10,
    "mfa.remove": 11,
    "passkey.remove": 11,
    "passkey.reset": 11,
    "role.grant": 1,
    "role.revoke": 2,
}
_VERBS: Final[Mapping[str, int]] = {
    "create": 1,
    "make": 1,
    "add": 1,
    "reveal": 2,
    "export": 2,
    "watch": 2,
    "search": 2,
    "change": 3,
    "set": 3,
    "delete": 4,
    "remove": 4,
}
"""Activities of the application."""
_OTHER: Final = 99
_USER_TYPES: Final[Mapping[str, tuple[str, int]]] = {
    "user": ("User", 1),
    "node": ("System", 3),
    "system": ("System", 3),
}
_IS_SERVER: Final = 1


def ocsf(event: Mapping[str, Any], meaning: str) -> dict[str, Any]:
    """The event; ``meaning`` is what its action means, in words."""
    action, is_success = event["action"], event["outcome"] == "success"
    noun, _, verb = action.partition(".")
    class_uid = _CLASSES.get(action, _CLASSES.get(noun, _API))
    activity = _ACTIVITIES.get(action, _VERBS.get(verb, _OTHER) if class_uid == _API else _OTHER)
    return {
        "metadata": _metadata(event, class_uid),
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "activity_id": activity,
        **({"activity_name": action} if activity == _OTHER else {}),
        "type_uid": class_uid * 100 + activity,
        "severity_id": 1 if is_success else 3,
        "status_id": 1 if is_success else 2,
        **_said(status_detail=event["reason"]),
        "time": event["time"],
        "message": meaning,
        **_who(event),
        **_of_class(event, class_uid),
        "unmapped": {"object": dict(event["object"]), "details": event["details"], "epoch": event["epoch"]},
    }


def _metadata(event: Mapping[str, Any], class_uid: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "version": VERSION,
        "uid": event["id"],
        "event_code": event["action"],
        "product": {"name": _PRODUCT, "vendor_name": _VENDOR, "version": __version__},
        **_said(log_provider=event["node"]),
    }
    if event["index"] is not None:
        found["sequence"] = event["index"]
    if class_uid != _API:
        found["profiles"] = ["host"]  # which brings the device
    return found


def _who(event: Mapping[str, Any]) -> dict[str, Any]:
    """Who acted, and from where. What acts by itself comes from its node."""
    actor = event["actor"]
    address = actor["address"]
    source = {"ip": address} if _is_address(address) else {"name": address or event["node"] or _UNKNOWN}
    session = {"session": {"uid": actor["session"]}} if actor["session"] else {}
    return {"actor": {"user": _user(actor["kind"], _named(event)), **session}, "src_endpoint": source}


def _of_class(event: Mapping[str, Any], class_uid: int) -> dict[str, Any]:
    host = {"hostname": event["node"] or _UNKNOWN}
    target = event["object"]
    if class_uid == _API:
        thing = _said(type=target["kind"], uid=target["id"], name=target["name"])
        resources = {"resources": [thing]} if "uid" in thing or "name" in thing else {}
        return {"api": {"operation": event["action"], "service": {"name": _PRODUCT}}, "dst_endpoint": host, **resources}
    found: dict[str, Any] = {"user": _subject(event), "device": {**host, "type_id": _IS_SERVER}}
    if class_uid == _LOGIN:
        found |= {"service": {"name": _PRODUCT}, "dst_endpoint": host}
        if event["actor"]["session"]:
            found["session"] = {"uid": event["actor"]["session"]}
    if class_uid == _RIGHTS:
        found["privileges"] = [str(event["details"].get("role") or _UNKNOWN)]
    return found


def _subject(event: Mapping[str, Any]) -> dict[str, Any]:
    """Whom it is about: the object where that is somebody, else who acted."""
    actor, target = event["actor"], event["object"]
    if target["kind"] in {"user", "lockout"}:
        return _user("user", target)
    return _user(actor["kind"], actor if actor["id"] or actor["name"] else {"id": "", "name": target["name"]})


def _named(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who acted; what acts by itself has the name of its node."""
    actor: Mapping[str, Any] = event["actor"]
    return {"id": "", "name": event["node"]} if actor["kind"] == "node" else actor


def _user(kind: str, who: Mapping[str, Any]) -> dict[str, Any]:
    type_, type_id = _USER_TYPES.get(kind, (kind, _OTHER))
    named = _said(uid=who["id"], name=who["name"]) or {"name": _UNKNOWN}
    return {**named, "type": type_, "type_id": type_id}


def _said(**words: str) -> dict[str, str]:
    return {name: word for name, word in words.items() if word}


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True
