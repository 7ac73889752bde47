"""Heartbeats as text in the store: one JSON object, so that an administrator can read it with GET.

Reading is suspicious: whatever is not exactly a heartbeat of the node under whose name it stands is ``None``, never an
exception and never half a value. Its texts end up in answers, logs and on screens, so they must be printable.

Where there is a cluster key, the last field is ``mac``: the tag (see ``store_mac``) of the object without it, byte for
byte. Then nothing in a heartbeat can be made up by who may only write Redis. What can still be done is to put back what
a node wrote before: so the field before it, ``store_ms``, tells what time the store had when it answered the node last,
and one that is older than a heartbeat lives in the store is none. What is put back sooner than that is found out by
whoever remembers the beats: see ``rppam/cluster/consensus/failure_detector.py``.

Witnesses have the cluster key, and order nothing. So a node writes before the ``mac`` an ``orders_mac``: the tag of all
that comes before, by the sealing key, which no witness has. Where it is not right, what the heartbeat says of orders
(maintenance, the pause) is taken as not said; the rest counts. It repeats the newest pause that its node knows.
"""

import json
import re
from typing import Any, Final

from rppam.cluster.consensus.heartbeat import Heartbeat, Role
from rppam.cluster.consensus.operator_state import person
from rppam.config.kinds import NAME_FORM
from rppam.crypto.store_mac import TAG_DIGITS, StoreMac

LONGEST: Final = 4_096
"""Bytes; a longer text is not looked at."""

_TEXTS: Final = ("node", "version", "hostname", "api_url", "member_address", "paused_by", "password_mark")
_NAME: Final = re.compile(NAME_FORM)
_BOOT_ID: Final = re.compile(r"[0-9a-f]{16}")
_NUMBERS: Final = (
    "beat",
    "epoch",
    "wall_ms",
    "loop_lag_ms",
    "renewed_ms_ago",
    "seats",
    "priority",
    "pause_stamp",
    "store_ms",
)
_MARK: Final = "password_mark"
_STORE_MS: Final = "store_ms"
_LATER: Final = frozenset({"settings_revision", _MARK, _STORE_MS})
"""Not told by every release: missing is ``None``, 0, or an empty text."""
KIND: Final = "heartbeat"
"""What the tag is made for."""
ORDERS_KIND: Final = "orders"
"""What the tag by the sealing key is made for."""
_ORDERED: Final = re.compile(rb'(\{.*),"orders_mac":"([0-9a-f]{%d})"\}' % TAG_DIGITS, re.DOTALL)
_TAGGED: Final = re.compile(rb'(\{.*),"mac":"([0-9a-f]{%d})"\}' % TAG_DIGITS, re.DOTALL)
_FLAGS: Final = ("admitted", "leaving", "joins", "maintenance", "paused")
_FIELDS: Final = frozenset(Heartbeat._fields)
_ROLES: Final = {role.value: role for role in Role}


def heartbeat_to_text(heartbeat: Heartbeat, mac: StoreMac | None = None, orders_mac: StoreMac | None = None) -> str:
    """The text of a heartbeat; with a tag where the cluster has a key, and with one by the sealing key of a node."""
    fields = heartbeat._asdict()
    if not heartbeat.password_mark:
        del fields[_MARK]  # a release that does not know it reads no heartbeat that has it
    if mac is None:
        del fields[_STORE_MS]  # nor one that has this; without a tag it says nothing
    text = json.dumps(fields, separators=(",", ":"))
    if mac is None:
        return text
    if orders_mac is not None:
        text = f'{text[:-1]},"orders_mac":"{orders_mac.tag(ORDERS_KIND, text)}"}}'
    return f'{text[:-1]},"mac":"{mac.tag(KIND, text)}"}}'


def is_unauthenticated(text: bytes, mac: StoreMac | None) -> bool:
    """Whether there is a text, and no holder of the cluster key wrote it; never so where there is no key."""
    return mac is not None and bool(text) and _genuine(text, mac) is None


def _genuine(text: bytes, mac: StoreMac | None) -> bytes | None:
    """The object without its tag; ``None`` when the tag is not right. Without a key nobody can tell."""
    if len(text) > LONGEST:
        return None
    match = _TAGGED.fullmatch(text)
    if match is None:
        return text if mac is None else None
    body = match[1] + b"}"
    if mac is None:
        return body
    is_ours = body.isascii() and mac.is_genuine(KIND, body.decode("ascii"), match[2].decode("ascii"))
    return body if is_ours else None


def _orders_apart(body: bytes, orders_mac: StoreMac | None) -> tuple[bytes, bool]:
    """The object without the tag on its orders, and whether a holder of the sealing key made that; without the key
    nobody can tell."""
    match = _ORDERED.fullmatch(body)
    if match is None:
        return body, orders_mac is None
    bare = match[1] + b"}"
    if orders_mac is None:
        return bare, True
    is_ours = bare.isascii() and orders_mac.is_genuine(ORDERS_KIND, bare.decode("ascii"), match[2].decode("ascii"))
    return bare, is_ours


def is_name(text: str) -> bool:
    """Whether a node can have this name."""
    return _NAME.fullmatch(text) is not None


def heartbeat_from_text(
    text: bytes, node: str, mac: StoreMac | None = None, orders_mac: StoreMac | None = None
) -> Heartbeat | None:
    """The heartbeat in ``text``, or ``None`` when it is none of ``node``'s.

    ``orders_mac``: by which orders are known as a node's. Those that are not are taken out: nothing is said of them.
    """
    body = _genuine(text, mac) if text else None
    if body is None:
        return None
    body, is_order = _orders_apart(body, orders_mac)
    found = _read(body, node)
    if found is None or is_order:
        return found
    return found._replace(maintenance=None, pause_stamp=0, paused=False, paused_by="")


def _read(body: bytes, node: str) -> Heartbeat | None:
    """The object without its tags, field by field."""
    try:
        fields: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not _FIELDS - _LATER <= fields.keys() <= _FIELDS:
        return None
    # Loops, no generators: with many members this is what a member does most often.
    fields.setdefault(_MARK, "")
    fields.setdefault(_STORE_MS, 0)
    for name in _TEXTS:
        if not isinstance(fields[name], str) or not fields[name].isprintable():
            return None
    for name in _NUMBERS:
        if not _is_number(fields[name]):
            return None
    for name in _FLAGS:
        if not isinstance(fields[name], bool):
            return None
    if fields.get("settings_revision") is not None and not _is_number(fields["settings_revision"]):
        return None
    role, boot_id = fields["role"], fields["boot_id"]
    if not isinstance(role, str) or not isinstance(boot_id, str):
        return None
    if fields["paused_by"] != person(fields["paused_by"]):
        return None
    if fields["node"] != node or role not in _ROLES or _BOOT_ID.fullmatch(boot_id) is None:
        return None
    fields["role"] = _ROLES[role]
    return Heartbeat(**fields)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53
