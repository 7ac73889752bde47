"""Tells an Ed25519 public key written out in base64 from the path of a file. The key is checked where it is used."""

import base64
import re
from typing import Final

_PREFIX: Final = bytes.fromhex("302a300506032b6570032100")
"""What stands before the 32 bytes of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410)."""
_RAW_BYTES: Final = 32


def as_public_key(text: str) -> str | None:
    """The key as one line of base64 SubjectPublicKeyInfo, or ``None`` when ``text`` is none and so names a file."""
    line = re.sub(r"-----(BEGIN|END) PUBLIC KEY-----|\s", "", text)
    try:
        raw = base64.b64decode(line, validate=True)
    except ValueError:  # also what is no ASCII
        return None
    if len(raw) == _RAW_BYTES:
        raw = _PREFIX + raw
    return base64.b64encode(raw).decode("ascii") if raw.startswith(_PREFIX) and len(raw) == 44 else None
