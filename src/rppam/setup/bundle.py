"""The join bundle: what the next node needs to be one of this cluster, sealed under a passphrase shown once.

It carries the first node's config as a template and the files all nodes share (signing keys, the ``encrypted:`` key,
the cluster key, the licence). Whoever opens it can make admin tokens, so it is sealed: scrypt (RFC 7914) makes a key of
the passphrase, and the header with format and scrypt parameters is authenticated with the content. The parameters in a
file are bounded before they are used, so a forged bundle cannot eat the memory. A wrong passphrase and a damaged file
cannot be told apart, and the error says so.

One may be for a single host. It then names that host, which alone may use it, and may carry what is that host's own:
the certificate of its API, and the files of its Redis. Used again on that host it changes nothing there; on another
host it is refused by the name, and a second host that takes the name as well by the members, who have one of it.

It opens until a time that stands in it, by the clock of the host that opens it: who finds one later, with its
passphrase beside it, finds nothing. What it does not promise: anything once the two travel together, or against who
sets a clock back.
"""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from rppam.crypto.sealed import KEY_BYTES, NONCE_BYTES, SealRefused, seal as sealed_by, unseal as unsealed_by
from rppam.http.times import iso_utc
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.setup.errors import BundleError, BundleExpired, BundleForAnother
from rppam.setup.hosts import Host

FORMAT: Final = "rppam-join-bundle-1"
SCRYPT_N: Final = 2**16
"""64 MiB and about 0.2 s: the passphrase is 139 random bits, so the cost is a second line only."""
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
_N_BOUNDS: Final = (2**14, 2**18)
_SALT_BYTES: Final = 16
TEXT_CHARS_MAX: Final = 1_000_000
HOURS: Final = 24
HOURS_MAX: Final = 24 * 31
_HOUR_MS: Final = 3_600_000
_WITHIN: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""A path that stays below its folder."""
_CLOCK_MS: Final = 300_000
"""So far may two hosts' clocks be apart before it is said."""


class OwnPart(NamedTuple):
    """What one host alone gets. Holds secrets: it does not print."""

    host: Host
    files: Mapping[str, bytes]
    """By their path below the folder that they were made in."""

    def __repr__(self) -> str:
        return f"OwnPart({self.host}, files={sorted(self.files)})"


class Bundle(NamedTuple):
    """What is inside. Holds secrets: it does not print."""

    config: Mapping[str, object]
    """The first node's ``rppam.config`` as parsed JSON, to be changed by the joining node."""
    files: Mapping[str, Secret]
    """Shared files by their name relative to the node's key folder."""
    own: OwnPart | None = None
    """Where it is for one host alone, and carries files for it."""
    only_for: str | None = None
    """The name of the node or witness that alone may use it."""

    def __repr__(self) -> str:
        return f"Bundle(files={sorted(self.files)})"


def seal(bundle: Bundle, passphrase: Secret, made_at: WallMs, *, hours: int = HOURS) -> str:
    """The bundle as text, to be written with mode 0600; it opens for ``hours``."""
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    header = {
        "format": FORMAT,
        "kdf": {"name": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "salt": _text(salt)},
        "nonce": _text(nonce),
        "madeAt": made_at,
        "expiresAt": made_at + hours * _HOUR_MS,
    }
    content: dict[str, object] = {
        "config": bundle.config,
        "files": {name: secret.reveal() for name, secret in bundle.files.items()},
    }
    if bundle.only_for is not None:
        content["onlyFor"] = bundle.only_for
    if bundle.own is not None:
        carried = {name: _text(data) for name, data in bundle.own.files.items()}
        content["own"] = {**bundle.own.host._asdict(), "files": carried}
    key = _key(passphrase, salt, SCRYPT_N)
    sealed = sealed_by(key, json.dumps(content).encode(), _authenticated(header), head=b"", nonce=nonce)
    return json.dumps({**header, "sealed": _text(sealed[NONCE_BYTES:])}, indent=2) + "\n"


def unseal(text: str, passphrase: Secret, now: WallMs, *, place: str) -> Bundle:
    """The bundle in ``text``; ``place`` names the file in errors.

    Raises :class:`BundleError`, :class:`BundleExpired`.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise BundleError(f"{place}: expected at most {TEXT_CHARS_MAX} characters, found {len(text)}")
    try:
        outer = json.loads(text)
    except (ValueError, RecursionError):
        raise BundleError(f"{place}: expected a join bundle (JSON), found something else") from None
    if not isinstance(outer, dict) or outer.get("format") != FORMAT:
        found = outer.get("format") if isinstance(outer, dict) else type(outer).__name__
        raise BundleError(f"{place}: expected format {FORMAT!r}, found {found!r}")
    header = {key: value for key, value in outer.items() if key != "sealed"}
    try:
        kdf = header["kdf"]
        salt, nonce, sealed = _bytes(kdf["salt"]), _bytes(header["nonce"]), _bytes(outer["sealed"])
        rounds = kdf["n"]
        known = (kdf["name"], kdf["r"], kdf["p"]) == ("scrypt", SCRYPT_R, SCRYPT_P)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise BundleError(f"{place}: the bundle is incomplete or damaged; copy it again") from None
    if not known or not isinstance(rounds, int) or not _N_BOUNDS[0] <= rounds <= _N_BOUNDS[1] or rounds & (rounds - 1):
        raise BundleError(f"{place}: the bundle asks for key derivation that this version does not do")
    if len(nonce) != NONCE_BYTES or len(salt) != _SALT_BYTES:
        raise BundleError(f"{place}: the bundle is incomplete or damaged; copy it again")
    try:
        content = unsealed_by(_key(passphrase, salt, rounds), nonce + sealed, _authenticated(header), head=b"")
    except SealRefused:
        raise BundleError(
            f"{place}: the passphrase does not open it, or the file was changed. Type the passphrase exactly as it was "
            "shown, with its dashes"
        ) from None
    _check_time(header, now, place)
    return _opened(content, place)


def _check_time(header: Mapping[str, object], now: WallMs, place: str) -> None:
    """One that a release of before has made says no time, and opens."""
    made_at, expires_at = header.get("madeAt"), header.get("expiresAt")
    if not isinstance(made_at, int) or not isinstance(expires_at, int):
        return
    here = f"this host's clock says {iso_utc(now)}"
    if now < made_at - _CLOCK_MS:
        raise BundleExpired(
            f"{place}: it was made at {iso_utc(WallMs(made_at))}, and {here}: one of the two clocks is off. "
            f"{BundleExpired.row.remedy}"
        )
    if now > expires_at:
        told = f"{place}: it could be opened until {iso_utc(WallMs(expires_at))}, and {here}"
        raise BundleExpired(f"{told}. {BundleExpired.row.remedy}")


def _opened(content: bytes, place: str) -> Bundle:
    """What was sealed. Whoever knows the passphrase may have sealed anything, so its form is looked at too."""
    try:
        tree = json.loads(content)
        config, files = tree["config"], tree["files"]
        if not isinstance(config, dict) or not all(isinstance(text, str) for text in files.values()):
            raise TypeError
        own = None if tree.get("own") is None else _own(tree["own"])
        only_for = tree.get("onlyFor")
        if not isinstance(only_for, str | None):
            raise TypeError
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise BundleError(f"{place}: what it holds is not what 'rppam init --bundle' writes; make it anew") from None
    return Bundle(config, {name: Secret(text) for name, text in files.items()}, own, only_for)


def refuse_another(bundle: Bundle, name: str | None) -> None:
    """Raise :class:`BundleForAnother` where ``name`` is not the host's that it is for; without one nothing is said."""
    own = bundle.only_for if bundle.own is None else bundle.own.host.name
    if own is not None and name is not None and name != own:
        told = f"--node-name: {name!r} is not whom the bundle is for, which is {own!r}"
        raise BundleForAnother(f"{told}. {BundleForAnother.row.remedy}")


def _own(part: Mapping[str, object]) -> OwnPart:
    """Raises ValueError, TypeError, KeyError."""
    name, address, files = part["name"], part["address"], part["files"]
    if not isinstance(name, str) or not isinstance(address, str) or not isinstance(files, dict):
        raise TypeError
    if not all(_WITHIN.fullmatch(path) for path in files):
        raise ValueError
    return OwnPart(Host(name, address), {path: _bytes(text) for path, text in files.items()})


def _key(passphrase: Secret, salt: bytes, rounds: int) -> bytes:
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=rounds, r=SCRYPT_R, p=SCRYPT_P)
    return kdf.derive(passphrase.reveal().strip().encode())


def _authenticated(header: Mapping[str, object]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
