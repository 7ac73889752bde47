"""The code of an entry ``totp-seed`` (RFC 6238) at one moment, which is shown in the place of its seed. Pure.

A seed is base32, as services show it for typing, or the address ``otpauth://totp/...`` of their QR code, which says
hash, digits and period as well. The arithmetic is the library's. What it does not promise: that the service has not
taken the code before.
"""

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.vault.errors import EntryInvalid

SEED, CODE = "seed", "code"
DIGITS: Final = range(6, 9)
PERIOD_S_MAX: Final = 600
SEED_BYTES_MIN: Final = 5
_SCHEME: Final = "otpauth:"
_HASHES: Final[Mapping[str, type[SHA1 | SHA256 | SHA512]]] = MappingProxyType(
    {"SHA1": SHA1, "SHA256": SHA256, "SHA512": SHA512}
)
_EXPECTED: Final = f"fields.{SEED}: expected"


class Seed(NamedTuple):
    """What codes are made from."""

    key: bytes
    digits: int = 6
    period_s: int = 30
    hash_name: str = "SHA1"


class Now(NamedTuple):
    """What is shown."""

    fields: Mapping[str, Secret]
    """The code, and what else the entry has beside its seed."""
    seconds_left: int
    """So long the code holds."""


def read_seed(text: str) -> Seed:
    """What a seed says. Raises :class:`EntryInvalid`, which never repeats it."""
    if not text.strip().lower().startswith(_SCHEME):
        return Seed(_key(text))
    try:
        parts = urlsplit(text.strip())
        said = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        digits, period_s = int(said.get("digits", "6")), int(said.get("period", "30"))
    except ValueError:
        raise EntryInvalid(f"{_EXPECTED} digits and period of otpauth:// as whole numbers") from None
    name = said.get("algorithm", "SHA1").upper().replace("-", "")
    if parts.netloc.lower() != "totp":
        raise EntryInvalid(f"{_EXPECTED} otpauth://totp/...; codes that count up (HOTP) are not made")
    if digits not in DIGITS or not 1 <= period_s <= PERIOD_S_MAX or name not in _HASHES:
        raise EntryInvalid(
            f"{_EXPECTED} 6 to 8 digits, a period of 1 to {PERIOD_S_MAX} seconds, and one of {', '.join(_HASHES)}"
        )
    return Seed(_key(said.get("secret", "")), digits, period_s, name)


def shown_now(fields: Mapping[str, Secret], now: WallMs) -> Now:
    """The code in the place of the seed. Raises :class:`EntryInvalid` for a seed that is none."""
    seed = read_seed(fields[SEED].reveal() if SEED in fields else "")
    totp = TOTP(seed.key, seed.digits, _HASHES[seed.hash_name](), seed.period_s, enforce_key_length=False)
    seconds = int(now) // 1000
    code = Secret(totp.generate(seconds).decode("ascii"))
    hidden = _plain(base64.b32encode(seed.key).decode("ascii"))
    kept = {name: value for name, value in fields.items() if name != SEED and hidden not in _plain(value.reveal())}
    return Now(kept | {CODE: code}, seed.period_s - seconds % seed.period_s)


def _key(text: str) -> bytes:
    plain = _plain(text)
    try:
        key = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < SEED_BYTES_MIN:
        raise EntryInvalid(
            f"{_EXPECTED} 8 or more letters and digits of base32, or otpauth://totp/..., found another text"
        )
    return key


def _plain(text: str) -> str:
    """Without what people put between its letters."""
    return "".join(char for char in text.upper() if char not in " -=\t\r\n")
