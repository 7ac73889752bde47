"""Licence files: signed, read and checked. What a licence then allows is decided in :mod:`rppam.licence.model`.

A licence is a JWT (RFC 7519) signed with Ed25519 (RFC 8037): type ``rppam-license+jwt``, algorithm ``EdDSA``, and the
RFC 7638 thumbprint of the key as ``kid``. Type, algorithm and key are pinned before a claim is believed, so neither an
access token nor a token that names its own algorithm can pass. Expiry is *not* checked here: it never makes a licence
unreadable.

A licence that cannot be read never keeps a node from starting: it runs as Standard would, which lets every member of a
running cluster come back and only refuses new nodes; and it says so wherever people look.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import jwt
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.utils import base64url_encode

from rppam.config.settings import LicenseSettings
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.licence.errors import (
    LicenceDenied,
    LicenceError,
    LicenceKeyUnknown,
    LicenceKeyUnusable,
    LicenceMalformed,
    LicenceSignatureBad,
    LicenceTermsInvalid,
    LicenceWrongType,
)
from rppam.licence.model import STANDARD_NODES, Allowed, Denied, Licence, Tier

TYPE: Final = "rppam-license+jwt"
ALGORITHM: Final = "EdDSA"
TEXT_CHARS_MAX: Final = 65_536
NODES_MAX: Final = 1_000
COUNT_MAX: Final = 10_000_000
TEXT_CLAIM_CHARS_MAX: Final = 200
FEATURES_MAX: Final = 64
EXPIRES_MAX: Final = 253_402_300_799
"""The last second of the year 9999, the last one that can be written as a date."""

_SHOWN_MAX: Final = 80
_RAW_CHARS: Final = 43
"""Of 32 bytes in base64; no key has fewer."""
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_FEATURE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SIGNATURE_ONLY: Final[Any] = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class TrustedKey(NamedTuple):
    """A public key that may sign licences."""

    id: str
    """Its RFC 7638 thumbprint, the ``kid`` of what it signs."""
    public: Ed25519PublicKey

    def text(self) -> str:
        """The key in base64 (SubjectPublicKeyInfo, one line), as ``license.trustedKeys`` takes it."""
        return base64.b64encode(self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()

    def pem(self) -> str:
        """The key as a file in PEM."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Terms(NamedTuple):
    """What a new licence shall say; ``None`` is no limit."""

    customer: str
    tier: Tier
    max_nodes: int
    days: int
    max_users: int | None = None
    max_resources: int | None = None
    features: tuple[str, ...] = ()


def trusted_key(public: Ed25519PublicKey) -> TrustedKey:
    """``public`` with its thumbprint (RFC 8037 section 2, RFC 7638)."""
    x = base64url_encode(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return TrustedKey(base64url_encode(hashlib.sha256(canonical.encode()).digest()).decode(), public)


def parse_public_key(text: str, place: str) -> TrustedKey:
    """A public key from PEM, or from base64 of its DER form or of its 32 raw bytes. ``place`` names it in the error.

    A private key in PEM is refused: it has no business on a node.
    """
    text = text.strip()
    if "PRIVATE KEY" in text:
        raise LicenceKeyUnusable(f"{place}: this is a private key; give the public one that `new-key` printed")
    try:
        if text.startswith("-----BEGIN"):
            key: object = load_pem_public_key(text.encode())
        else:
            raw = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
            is_raw = len(raw) == 32
            key = Ed25519PublicKey.from_public_bytes(raw) if is_raw else load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm, InternalError, binascii.Error):
        raise LicenceKeyUnusable(
            f"{place}: expected an Ed25519 public key in PEM or base64, found {_size(text)} that are neither"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise LicenceKeyUnusable(f"{place}: expected an Ed25519 public key, found another kind of key")
    return trusted_key(key)


def given_public_key(option: str, word: str, content: str | None) -> TrustedKey:
    """The public key that an option names: in a file, whose ``content`` that is, else ``word`` is the key itself."""
    if content is not None:
        return parse_public_key(content, f"{option} {word[:_SHOWN_MAX]}")
    try:
        return parse_public_key(word, option)
    except LicenceKeyUnusable:
        may_be_file = "-----" not in word and ("." in word or len(word) < _RAW_CHARS)
        if not may_be_file:  # a key that is damaged, and maybe a private one
            raise
    raise LicenceKeyUnusable(
        f"{option} {word[:_SHOWN_MAX]}: there is no such file, and the word is no Ed25519 public key in base64 either; "
        "name the file that `new-key` wrote (KEY.pub.pem), or give the key that it printed"
    )


def parse_private_key(pem: Secret, place: str) -> Ed25519PrivateKey:
    """The signing key from PEM (PKCS #8, not encrypted)."""
    try:
        key = load_pem_private_key(pem.reveal().encode(), password=None)
    except TypeError:
        raise LicenceKeyUnusable(f"{place}: the key is encrypted; decrypt it first (openssl pkey -in FILE)") from None
    except (ValueError, UnsupportedAlgorithm, InternalError):
        raise LicenceKeyUnusable(
            f"{place}: expected an Ed25519 private key in PEM, found {_found(pem)}; restore it from a backup, or make "
            "one with `new-key`, whose public part then has to go into license.trustedKeys on every node"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise LicenceKeyUnusable(f"{place}: expected an Ed25519 private key, found another kind of key")
    return key


def _found(pem: Secret) -> str:
    """What kind of file it is, where no key can be read from it; none of its content."""
    text = pem.reveal()
    if not text.strip():
        return "an empty file"
    if "-----BEGIN" not in text:
        return f"{len(text)} characters that are no PEM"
    return "PEM that is damaged" if "-----END" in text else "PEM that is cut off"


def new_private_key() -> tuple[Secret, TrustedKey]:
    """A fresh signing key: its private PEM and its public part."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Secret(pem), trusted_key(key.public_key())


def issue(terms: Terms, key: Ed25519PrivateKey, licence_id: str, now: WallMs) -> str:
    """The signed text of a licence. Raises :class:`LicenceTermsInvalid` naming the term that cannot stand."""
    if terms.tier is Tier.STANDARD and terms.max_nodes != STANDARD_NODES:
        raise LicenceTermsInvalid(f"max-nodes: Standard runs 1 node, found {terms.max_nodes}; choose Enterprise")
    issued = now // 1000
    claims: dict[str, object] = {
        "jti": licence_id,
        "customer": terms.customer,
        "tier": terms.tier.value,
        "maxNodes": terms.max_nodes,
        "maxUsers": terms.max_users,
        "maxResources": terms.max_resources,
        "features": list(terms.features),
        "iat": issued,
        "exp": issued + terms.days * 86_400,
    }
    kid = trusted_key(key.public_key()).id
    try:
        _licence(claims, kid)
    except LicenceMalformed as error:
        raise LicenceTermsInvalid(str(error)) from None
    return jwt.encode(claims, key, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": kid})


def verify(text: str, trusted: Iterable[TrustedKey]) -> Licence:
    """The licence in ``text``, its signature checked against one of the ``trusted`` keys.

    Raises a leaf of :class:`~rppam.licence.errors.LicenceError`. Expiry is asked of the result.
    """
    token = _token(text)
    kid = _checked_header(token)
    keys = {key.id: key for key in trusted}
    if kid not in keys:
        known = ", ".join(keys) or "none; license.trustedKeys is empty"
        raise LicenceKeyUnknown(f"the licence was signed by key {kid!r}, which is not trusted here (trusted: {known})")
    try:
        # PyJWT decides nothing but the signature: each of the claims is checked below, with a sentence of ours.
        claims = jwt.decode(token, keys[kid].public, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
    except jwt.InvalidSignatureError:
        raise LicenceSignatureBad("the licence was changed after it was signed, or the copy is damaged") from None
    except jwt.InvalidTokenError:
        raise LicenceMalformed("the licence's claims are not a JSON object") from None
    return _licence(claims, kid)


def inspect(text: str) -> Licence:
    """What ``text`` *says*, its signature not checked: to show to people, never to decide by."""
    token = _token(text)
    kid = _checked_header(token)
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise LicenceMalformed("the licence's claims are not a JSON object") from None
    return _licence(claims, kid)


def read_licence(settings: LicenseSettings) -> tuple[Licence | None, str]:
    """The licence in force, or ``None``; and a sentence when a file is there that cannot be used."""
    path = settings.path
    try:
        text = read_text(path)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"license.path: {path} cannot be read ({error.strerror}), so this node counts as Standard"
    try:
        return verify(text, trusted_keys(settings)), ""
    except LicenceError as error:
        return None, f"license.path: {path} is not used, so this node counts as Standard: {error}"


def trusted_keys(settings: LicenseSettings) -> tuple[TrustedKey, ...]:
    """The keys in ``license.trustedKeys``. Raises :class:`LicenceKeyUnusable` naming the entry."""
    found: list[TrustedKey] = []
    for number, key in enumerate(settings.trusted_keys):
        place = f"license.trustedKeys[{number}]"
        if isinstance(key, Path):
            try:
                found.append(parse_public_key(read_text(key), f"{place} ({key})"))
            except OSError as error:
                raise LicenceKeyUnusable(f"{place}: cannot read {key}: {error.strerror}") from None
        else:
            found.append(parse_public_key(key, place))
    return tuple(found)


def read_text(path: Path) -> str:
    """A small file; of a larger one as much as no licence or key has. Raises :class:`OSError`."""
    with path.open("rb") as file:
        return file.read(TEXT_CHARS_MAX + 1).decode("utf-8", "replace")


def demand(decision: Allowed | Denied) -> None:
    """Raise :class:`LicenceDenied` if ``decision`` of :func:`rppam.licence.model.may_join` is a denial."""
    if isinstance(decision, Denied):
        raise LicenceDenied(f"this node may not join: {decision.reason}. {decision.fix}.")


def _token(text: str) -> str:
    token = text.strip()
    if len(token) > TEXT_CHARS_MAX:
        raise LicenceMalformed(f"expected a licence of at most {TEXT_CHARS_MAX} characters, found {len(token)}")
    if not token:
        raise LicenceMalformed("the licence file is empty")
    if not _COMPACT.fullmatch(token):
        raise LicenceMalformed(f"expected one line of three base64url parts joined by dots, found {_size(token)}")
    return token


def _checked_header(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise LicenceMalformed("the first part of the licence is not a JOSE header") from None
    for name, expected in (("typ", TYPE), ("alg", ALGORITHM)):
        if header.get(name) != expected:
            raise LicenceWrongType(f"header {name}: expected {expected!r}, found {_shown(header.get(name))}")
    if set(header) - {"typ", "alg", "kid"}:
        raise LicenceWrongType("the header holds more than typ, alg and kid; a licence does not")
    return str(header.get("kid"))


def _licence(claims: Mapping[str, object], kid: str) -> Licence:
    tier_text = _text(claims, "tier")
    if tier_text not in set(Tier):
        _wrong("tier", "standard, enterprise or msp", tier_text)
    tier = Tier(tier_text)
    issued = _whole(claims, "iat", 0, EXPIRES_MAX)
    return Licence(
        id=_text(claims, "jti"),
        customer=_text(claims, "customer"),
        tier=tier,
        max_nodes=_whole(claims, "maxNodes", 1, STANDARD_NODES if tier is Tier.STANDARD else NODES_MAX),
        max_users=_whole_or_none(claims, "maxUsers"),
        max_resources=_whole_or_none(claims, "maxResources"),
        features=_features(claims),
        issued_at=WallMs(issued * 1000),
        expires_at=WallMs(_whole(claims, "exp", issued + 1, EXPIRES_MAX) * 1000),
        key_id=kid,
    )


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_CLAIM_CHARS_MAX or not value.isprintable():
        _wrong(name, f"1 to {TEXT_CLAIM_CHARS_MAX} printable characters", value)
    return value


def _whole(claims: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _wrong(name, f"a whole number from {least} to {most}", value)
    return value


def _whole_or_none(claims: Mapping[str, object], name: str) -> int | None:
    return None if claims.get(name) is None else _whole(claims, name, 1, COUNT_MAX)


def _features(claims: Mapping[str, object]) -> tuple[str, ...]:
    value = claims.get("features", [])
    if not isinstance(value, list) or len(value) > FEATURES_MAX:
        _wrong("features", f"a list of at most {FEATURES_MAX} names", value)
    for name in value:
        if not isinstance(name, str) or not _FEATURE.fullmatch(name):
            _wrong("features", "names of 1 to 64 letters, digits and . _ -", name)
    return tuple(value)


def _wrong(name: str, expected: str, found: object) -> NoReturn:
    raise LicenceMalformed(f"claim {name}: expected {expected}, found {_shown(found)}")


def _size(text: str) -> str:
    """A text from a file that may be another than was meant, and is therefore not shown."""
    lines = text.count("\n") + 1
    return f"{len(text)} characters on {lines} line{'s' if lines > 1 else ''}"


def _shown(value: object) -> str:
    """A value from outside as it may stand in a message: one line, and not long."""
    text = "nothing" if value is None else ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
