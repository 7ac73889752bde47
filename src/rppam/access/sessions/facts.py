"""Sessions and accounts as bytes, for the cache: JSON with one letter a field, strict on the way back.

What comes out of the cache was sealed by a node of this cluster; it may still have been written by another release. So
a field that is missing or of another type is a ``ValueError``, which a reader takes for a miss, and an unknown field is
passed over.
"""

import json
from collections.abc import Mapping
from typing import Any

from rppam.access.sessions.model import Session, SessionKind, UserFacts
from rppam.kernel.instant import WallMs


def session_bytes(session: Session) -> bytes:
    """``session`` for the cache."""
    return _bytes(
        {
            "i": session.id,
            "u": session.user_id,
            "s": session.subject,
            "k": session.kind.value,
            "a": session.auth_epoch,
            "m": session.mfa,
            "x": session.expires_at,
            "e": session.ended,
            "l": session.ran_out,
        }
    )


def read_session(data: bytes) -> Session:
    """The reverse. Raises ``ValueError``."""
    found = _object(data)
    user_id = found.get("u")
    if user_id is not None and not isinstance(user_id, str):
        raise ValueError("a session's account is a text or null")
    return Session(
        id=_of(found, "i", str),
        user_id=user_id,
        subject=_of(found, "s", str),
        kind=SessionKind(_of(found, "k", str)),
        auth_epoch=_of(found, "a", int),
        mfa=_of(found, "m", bool),
        expires_at=WallMs(_of(found, "x", int)),
        ended=_of(found, "e", bool),
        # Releases before this one do not write it.
        ran_out=_of(found, "l", bool) if "l" in found else False,
    )


def user_bytes(user: UserFacts) -> bytes:
    """``user`` for the cache."""
    return _bytes(
        {
            "i": user.id,
            "n": user.name,
            "r": sorted(user.roles),
            "d": user.disabled,
            "a": user.auth_epoch,
            "m": user.has_mfa,
        }
    )


def read_user(data: bytes) -> UserFacts:
    """The reverse. Raises ``ValueError``."""
    found = _object(data)
    roles = _of(found, "r", list)
    if not all(isinstance(role, str) for role in roles):
        raise ValueError("roles are texts")
    return UserFacts(
        id=_of(found, "i", str),
        name=_of(found, "n", str),
        roles=frozenset(roles),
        disabled=_of(found, "d", bool),
        auth_epoch=_of(found, "a", int),
        has_mfa=_of(found, "m", bool),
    )


def _bytes(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _object(data: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  # one kind of error for whatever was read
    return found


def _of(found: Mapping[str, object], name: str, kind: type[Any]) -> Any:
    value = found.get(name)
    # bool is an int in Python; here it is not.
    if type(value) is not kind:
        raise ValueError(f"field {name!r}: expected {kind.__name__}, found {type(value).__name__}")
    return value
