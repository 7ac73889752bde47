"""One-time codes: those of an authenticator (TOTP, RFC 6238) and backup codes.

Decides what a typed text can be, and which time step a code belongs to. Whether it was used before is decided where all
nodes meet, in SQL. The arithmetic is the library's; SHA-1 is what the authenticators on phones can do, and HMAC with it
is not broken.
"""

import base64
import hashlib
import hmac
import json
import secrets
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from rppam.access.mfa.model import Enrolment
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

SECRET_BYTES: Final = 20
"""As long as the hash (RFC 4226, section 4)."""
STEPS_AROUND: Final = 1
"""How many steps before and after now a code is good: a phone's clock, and the time it takes to type."""
TYPED_CHARS_MAX: Final = 64
BACKUP_BYTES: Final = 10
_BACKUP_CHARS: Final = 16
_GROUP: Final = 4
_BASE32: Final = frozenset("abcdefghijklmnopqrstuvwxyz234567")


def new_enrolment(digits: int, period_s: int) -> Enrolment:
    return Enrolment(secrets.token_bytes(SECRET_BYTES), digits, period_s)


def base32(enrolment: Enrolment) -> Secret:
    """The secret for typing into an authenticator."""
    return Secret(base64.b32encode(enrolment.secret).decode("ascii"))


def otpauth_uri(enrolment: Enrolment, name: str, issuer: str) -> Secret:
    """What is shown as a QR code."""
    return Secret(_totp(enrolment).get_provisioning_uri(name, issuer))


def enrolment_text(enrolment: Enrolment) -> Secret:
    return Secret(json.dumps({"s": enrolment.secret.hex(), "d": enrolment.digits, "p": enrolment.period_s}))


def read_enrolment(text: Secret) -> Enrolment:
    """The reverse. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for a text that is none of ours."""
    found = json.loads(text.reveal())
    return Enrolment(bytes.fromhex(found["s"]), int(found["d"]), int(found["p"]))


def code_at(enrolment: Enrolment, step: int) -> str:
    return _totp(enrolment).generate(step * enrolment.period_s).decode("ascii")


def step_at(enrolment: Enrolment, now: WallMs) -> int:
    return int(now) // (enrolment.period_s * 1000)


def step_of(enrolment: Enrolment, typed: str, now: WallMs, after: int) -> int | None:
    """The time step later than ``after`` that ``typed`` is the code of, about now; ``None``: of none."""
    code, found = plain(typed), None
    here = step_at(enrolment, now)
    for step in range(here + STEPS_AROUND, here - STEPS_AROUND - 1, -1):
        # All are compared, so that the time tells nothing; the earliest that fits is taken.
        fits = hmac.compare_digest(code_at(enrolment, max(step, 0)).encode(), code.encode())
        if fits and step > after:
            found = step
    return found


def plain(typed: str) -> str:
    """A code without what people put between its parts. Anything impossible becomes an empty text."""
    if len(typed) > TYPED_CHARS_MAX or not typed.isascii():
        return ""
    return "".join(char for char in typed.lower() if char not in " -")


def is_backup(typed: str) -> bool:
    code = plain(typed)
    return len(code) == _BACKUP_CHARS and _BASE32.issuperset(code)


def new_backup_codes(count: int) -> list[Secret]:
    """``count`` codes of 80 random bits, in groups for reading aloud."""
    texts = [base64.b32encode(secrets.token_bytes(BACKUP_BYTES)).decode("ascii").lower() for _ in range(count)]
    return [Secret("-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))) for text in texts]


def backup_hash(user_id: str, typed: str) -> str:
    """What is kept of a backup code: it has 80 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(f"rppam backup code\0{user_id}\0{plain(typed)}".encode()).hexdigest()


def _totp(enrolment: Enrolment) -> TOTP:
    return TOTP(enrolment.secret, enrolment.digits, SHA1(), enrolment.period_s)  # noqa: S303
