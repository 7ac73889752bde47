"""One event in the formats that SIEM products read: own JSON, CEF, LEEF 2.0 and OCSF 1.3. Pure.

``event`` is what :meth:`rppam.ledger.model.Event.document` gives.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from rppam import __version__
from rppam.http.times import iso_utc_ms
from rppam.kernel.instant import WallMs
from rppam.ledger.events import ACTIONS
from rppam.siem.model import Format
from rppam.siem.ocsf import ocsf

_FAILED_SEVERITY: Final = 6
_SEVERITY: Final = 3
_VENDOR: Final = "Ravenphyre"
_PRODUCT: Final = "RP-PAM"


def written(event: Mapping[str, Any], format_: Format) -> str:
    """The event as one line."""
    return {Format.JSON: _json, Format.CEF: _cef, Format.LEEF: _leef, Format.OCSF: _ocsf}[format_](event)


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps({**event, "time": iso_utc_ms(WallMs(event["time"]))}, ensure_ascii=False, separators=(",", ":"))


def _facts(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What CEF and LEEF both say, by the names of CEF."""
    actor, target = event["actor"], event["object"]
    facts = [
        ("externalId", event["id"]),
        ("rt", str(event["time"])),
        ("outcome", event["outcome"]),
        ("reason", event["reason"]),
        ("suser", actor["name"]),
        ("suid", actor["id"]),
        ("src", actor["address"]),
        ("duser", target["name"] if target["kind"] == "user" else ""),
        ("cs1Label", "object"),
        ("cs1", " ".join(filter(None, (target["kind"], target["id"], target["name"])))),
        ("cs2Label", "session"),
        ("cs2", actor["session"]),
        ("cs3Label", "details"),
        ("cs3", json.dumps(event["details"], ensure_ascii=False, separators=(",", ":")) if event["details"] else ""),
        ("cn1Label", "index"),
        ("cn1", "" if event["index"] is None else str(event["index"])),
        ("dvchost", event["node"]),
    ]
    values = dict(facts)
    return [(name, value) for name, value in facts if value and (not name.endswith("Label") or values[name[:-5]])]


def _severity(event: Mapping[str, Any]) -> int:
    return _SEVERITY if event["outcome"] == "success" else _FAILED_SEVERITY


def _meaning(event: Mapping[str, Any]) -> str:
    action = ACTIONS.get(event["action"])
    return action.meaning if action is not None else event["action"]


def _cef(event: Mapping[str, Any]) -> str:
    head = ["CEF:0", _VENDOR, _PRODUCT, __version__, event["action"], _meaning(event), str(_severity(event))]
    escaped = [word.replace("\\", "\\\\").replace("|", "\\|") for word in head]
    return "|".join(escaped) + "|" + " ".join(f"{name}={_cef_value(value)}" for name, value in _facts(event))


def _cef_value(value: str) -> str:
    return value.replace("\\", "\\\\").replace("=", "\\=").replace("\r", "\\r").replace("\n", "\\n")


_LEEF_NAMES: Final[Mapping[str, str]] = {
    "suser": "usrName",
    "duser": "accountName",
    "dvchost": "devName",
    "rt": "devTime",
}


def _leef(event: Mapping[str, Any]) -> str:
    head = "|".join(
        word.replace("|", "/") for word in ("LEEF:2.0", _VENDOR, _PRODUCT, __version__, event["action"], "x09")
    )
    facts = [("sev", str(_severity(event))), *_facts(event)]
    return f"{head}|" + "\t".join(f"{_LEEF_NAMES.get(name, name)}={_leef_value(value)}" for name, value in facts)


def _leef_value(value: str) -> str:
    return value.replace("\t", " ").replace("\r", " ").replace("\n", " ")


def _ocsf(event: Mapping[str, Any]) -> str:
    return json.dumps(ocsf(event, _meaning(event)), ensure_ascii=False, separators=(",", ":"))
