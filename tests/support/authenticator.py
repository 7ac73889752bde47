"""Somebody else's authenticator: RFC 6238 anew."""

import base64
import hashlib
import hmac
import struct
import time


def code(secret: str, away: int = 0, digits: int = 6, period: int = 30) -> str:
    """The code of so many steps from now."""
    step = int(time.time()) // period + away
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    at = digest[-1] & 15
    return str((struct.unpack(">I", digest[at : at + 4])[0] & 0x7FFFFFFF) % 10**digits).zfill(digits)
