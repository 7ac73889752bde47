"""Heartbeats as text in the store: one JSON object, so that an administrator can read it with GET.

Reading is suspicious: what is not a heartbeat of the node under whose name it stands is ``None``, never an exception
and never half a value. Its texts end up in answers, logs and on screens, so they must be printable. Fields that a later
release added are passed over; ``format`` says what a reader must understand (missing: 1).

Where there is a cluster key, the last field is ``mac``: the tag (see ``store_mac``) of the object without it, byte for
byte as it was received, unknown fields among them. Then a writer of Redis without the key can make nothing up. It can
still put back what a node wrote before: so ``store_ms`` says what time the store had when it answered the node last,
and a heartbeat that is older than it lives in the store counts as none. The failure detector, which remembers the
beats, finds out what is put back sooner.

Witnesses have the cluster key, and order nothing. So a node writes before the ``mac`` an ``orders_mac``: the tag of all
that comes before, by the sealing key, which no witness has. Where it is not right, what the heartbeat says of orders
(maintenance, the pause) is taken as not said; the rest counts. It repeats the newest pause that its node knows.
"""

import re
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta

from rppam.cluster.consensus.heartbeat import Heartbeat
from rppam.cluster.consensus.operator_state import person
from rppam.config.kinds import NAME_FORM
from rppam.crypto.store_mac import TAG_DIGITS, StoreMac
from rppam.kernel.protocol import HEARTBEAT

LONGEST: Final = 4_096
"""Bytes; a longer text is not looked at."""
KIND: Final = "heartbeat"
"""What the tag is made for."""
ORDERS_KIND: Final = "orders"
"""What the tag by the sealing key is made for."""

_NAME: Final = re.compile(NAME_FORM)
_ORDERED: Final = re.compile(rb'(\{.*),"orders_mac":"([0-9a-f]{%d})"\}' % TAG_DIGITS, re.DOTALL)
_TAGGED: Final = re.compile(rb'(\{.*),"mac":"([0-9a-f]{%d})"\}' % TAG_DIGITS, re.DOTALL)

_Count = Annotated[int, Meta(ge=0, lt=2**53)]
_FORMS: Final[dict[str, Any]] = {
    "boot_id": Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")],
    "maintenance": bool,
    "settings_revision": _Count | None,
}
"""Where the type alone does not say it."""
_LATER: Final = frozenset({"settings_revision", "password_mark", "database", "address", "config", "store_ms"})
"""Not in the heartbeats of every release that is understood: missing is ``None``, 0, or an empty text."""
_HINTS: Final = get_type_hints(Heartbeat)
_TEXTS: Final = tuple(place for place, name in enumerate(Heartbeat._fields) if _HINTS[name] is str)


def _field(name: str) -> tuple[Any, ...]:
    form = _FORMS.get(name, _Count if _HINTS[name] is int else _HINTS[name])
    return (name, form, Heartbeat._field_defaults[name]) if name in _LATER else (name, form)


_Format: Final[Any] = msgspec.defstruct("_Format", [("format", _Count, 1)])
_Text: Final[Any] = msgspec.defstruct("_Text", [("format", _Count, 1), *map(_field, Heartbeat._fields)], kw_only=True)
_encoder: Final = msgspec.json.Encoder()
_formats: Final = msgspec.json.Decoder(_Format)
_texts: Final = msgspec.json.Decoder(_Text)


def heartbeat_to_text(heartbeat: Heartbeat, mac: StoreMac | None = None, orders_mac: StoreMac | None = None) -> str:
    """Write it with a tag where the cluster has a key, and with one by the sealing key of a node."""
    text = _encoder.encode(_Text(format=HEARTBEAT.version, **heartbeat._asdict()))
    if mac is None:
        return text.decode()
    if orders_mac is not None:
        text = b'%b,"orders_mac":"%b"}' % (text[:-1], orders_mac.tag(ORDERS_KIND, text).encode())
    return f'{text[:-1].decode()},"mac":"{mac.tag(KIND, text)}"}}'


def is_unauthenticated(text: bytes, mac: StoreMac | None) -> bool:
    """Return whether there is a text that no holder of the cluster key wrote; False where there is no key."""
    return mac is not None and bool(text) and _genuine(text, mac) is None


def _genuine(text: bytes, mac: StoreMac | None) -> bytes | None:
    """Return the object without its tag; ``None`` when the tag is not right. Without a key nobody can tell."""
    if len(text) > LONGEST:
        return None
    match = _TAGGED.fullmatch(text)
    if match is None:
        return text if mac is None else None
    body = match[1] + b"}"
    if mac is None:
        return body
    return body if mac.is_genuine(KIND, body, match[2].decode()) else None


def _orders_apart(body: bytes, orders_mac: StoreMac | None) -> tuple[bytes, bool]:
    """Return the object without the tag on its orders, and whether a holder of the sealing key made that tag; without
    the key nobody can tell."""
    match = _ORDERED.fullmatch(body)
    if match is None:
        return body, orders_mac is None
    bare = match[1] + b"}"
    if orders_mac is None:
        return bare, True
    return bare, orders_mac.is_genuine(ORDERS_KIND, bare, match[2].decode())


def is_name(text: str) -> bool:
    """Return whether a node can have this name."""
    return _NAME.fullmatch(text) is not None


def heartbeat_from_text(
    text: bytes, node: str, mac: StoreMac | None = None, orders_mac: StoreMac | None = None
) -> Heartbeat | None:
    """Return the heartbeat in ``text``, or ``None`` when it is none of ``node``'s.

    ``orders_mac`` tells which orders are a node's; the others are taken out.
    """
    return judged_heartbeat(text, node, mac, orders_mac)[0]


def judged_heartbeat(
    text: bytes, node: str, mac: StoreMac | None, orders_mac: StoreMac | None
) -> tuple[Heartbeat | None, bool]:
    """As :func:`heartbeat_from_text`, and with it :func:`is_unauthenticated`, at the price of one."""
    body = _genuine(text, mac) if text else None
    if body is None:
        return None, mac is not None and bool(text)
    body, is_order = _orders_apart(body, orders_mac)
    found = _read(body, node)
    if found is None or is_order:
        return found, False
    return found._replace(maintenance=None, pause_stamp=0, paused=False, paused_by=""), False


def foreign_format(text: bytes, mac: StoreMac | None) -> int | None:
    """Return the format of a member's heartbeat that this release does not understand; else ``None``."""
    body = _genuine(text, mac) if text else None
    try:
        found = None if body is None else _formats.decode(body).format
    except (ValueError, RecursionError):
        return None
    return None if found is None or HEARTBEAT.reads(found) else int(found)


def _read(body: bytes, node: str) -> Heartbeat | None:
    """Read an object without its tags."""
    try:
        found = _texts.decode(body)
    except (ValueError, RecursionError):
        return None
    if not HEARTBEAT.reads(found.format) or found.node != node or found.paused_by != person(found.paused_by):
        return None
    said = msgspec.structs.astuple(found)[1:]
    for place in _TEXTS:  # no generator: with many members this is what a member does most often
        if not said[place].isprintable():
            return None
    return Heartbeat(*said)
