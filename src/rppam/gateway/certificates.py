"""Certificates of SSH users: one is made, and one that is shown is judged. Pure.

What the cluster's authority signs for a user names :data:`OWN_PREFIX` and the user, which is no account of any target:
a target that trusts the authority lets nobody in with it, past the gateway. What it signs for a session names the
account of the target, which is nobody at the gateway.
"""

import base64
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    SSHCertificateBuilder,
    SSHCertificateType,
    load_pem_private_key,
    load_ssh_public_identity,
    load_ssh_public_key,
)

from rppam.gateway.errors import CertificateInvalid
from rppam.kernel.logging import printable
from rppam.kernel.secret import Secret
from rppam.targets.model import key_fingerprint

OWN_PREFIX: Final = "rppam-user:"
EARLY_S: Final = 60
"""So much earlier than it is made a certificate counts: a target's clock may be behind."""
SERIAL_BITS: Final = 53
"""A number of JSON has no more."""
SESSION_EXTENSIONS: Final = ("permit-pty", "permit-user-rc")
EPOCH: Final = "auth-epoch@rppam"
"""The extension that says how often its user's log-ins had been ended when it was signed."""
USER_EXTENSIONS: Final = ("permit-agent-forwarding", "permit-port-forwarding", "permit-pty")
FORWARDING: Final = "permit-port-forwarding"
AGENT: Final = "permit-agent-forwarding"
WORD_CHARS: Final = 100


class State(StrEnum):
    """What a key of the authority is good for."""

    NEXT = "next"
    """Nothing yet: targets get to know it."""
    ACTIVE = "active"
    """It signs."""
    PREVIOUS = "previous"
    """It signs no more; what it has signed counts."""
    RETIRED = "retired"
    """Nothing that it has signed counts."""


class AuthorityKey(NamedTuple):
    """A key of the authority."""

    number: int
    public: str
    """Type and base64."""
    fingerprint: str
    state: State
    made_at: int
    sealed: str

    @property
    def line(self) -> str:
        """For ``TrustedUserCAKeys`` of an sshd."""
        return f"{self.public} rppam-ca-{self.number}"


class Certified(NamedTuple):
    """A certificate of the authority."""

    line: str
    """As OpenSSH writes it."""
    serial: int
    key_id: str
    until_s: int
    authority: str
    """Fingerprint of the key that signed it."""
    private_key: Secret | None = None
    """Where it was made for a session: of a key that nobody else has."""


_NAMES: Final = "it names "
_NOT_FOR: Final = "it is not for the address "


class Shown(NamedTuple):
    """A certificate that somebody shows."""

    serial: int
    key_id: str
    principals: tuple[str, ...]
    after_s: int
    before_s: int
    authority: str
    is_user: bool
    sources: tuple[str, ...]
    fingerprint: str
    """Of its key."""
    epoch: str = ""
    """See :data:`EPOCH`; empty: it does not say."""

    @property
    def words(self) -> tuple[str, ...]:
        """By which it may be revoked."""
        return str(self.serial), self.key_id, self.fingerprint, self.authority


class Judged(NamedTuple):
    """What a certificate that somebody shows is worth."""

    shown: Shown
    why: str
    """Why it does not let them in; empty: it does."""
    is_trusted: bool
    """Its authority is."""


class Trust(NamedTuple):
    """Whose certificates count."""

    own: frozenset[str]
    """Fingerprints of the cluster's authority."""
    others: frozenset[str]
    revoked: frozenset[str]
    """Serial numbers, key ids and fingerprints of keys."""
    revoked_own: frozenset[tuple[str, str]] = frozenset()
    """What the cluster's authority has revoked: ``serial``, ``key-id`` or ``key``, and which; a key for all."""


def new_key() -> tuple[Secret, str, str]:
    """A new key: the private one as PEM, the public one as OpenSSH writes it, and its fingerprint."""
    made = Ed25519PrivateKey.generate()
    private = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = made.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return Secret(private), public, fingerprint_of(public)


def fingerprint_of(line: str) -> str:
    """That of a public key as OpenSSH writes it."""
    return key_fingerprint(base64.b64decode(line.split()[1]))


def signed(
    authority: Secret,
    public: str,
    *,
    serial: int,
    key_id: str,
    principal: str,
    now_s: int,
    minutes: int,
    extensions: Collection[str],
    source: str = "",
    epoch: int | None = None,
) -> Certified:
    """A certificate for the key ``public``. Raises :class:`CertificateInvalid` where there is none for such a key."""
    signer = load_pem_private_key(authority.reveal().encode(), None)
    assert isinstance(signer, Ed25519PrivateKey)
    until_s = now_s + minutes * 60
    try:
        key = load_ssh_public_key(public.encode())
        builder = SSHCertificateBuilder().public_key(key)  # type: ignore[arg-type]  # it says so itself
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateInvalid("there is no certificate for a key of this type") from None
    builder = builder.serial(serial).type(SSHCertificateType.USER).key_id(key_id.encode())
    builder = builder.valid_principals([principal.encode()]).valid_after(now_s - EARLY_S).valid_before(until_s)
    for one in sorted(extensions):
        builder = builder.add_extension(one.encode(), b"")
    if epoch is not None:
        builder = builder.add_extension(EPOCH.encode(), str(epoch).encode())
    if source:
        builder = builder.add_critical_option(b"source-address", source.encode())
    line = builder.sign(signer).public_bytes().decode()
    own = signer.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return Certified(line, serial, key_id, until_s, fingerprint_of(own))


def shown(line: bytes) -> Shown:
    """What stands in a certificate whose signature is right. Raises :class:`CertificateInvalid`."""
    try:
        found = load_ssh_public_identity(line)
        if not isinstance(found, SSHCertificate):
            raise CertificateInvalid("this is a key, and no certificate")
        found.verify_cert_signature()
        authority, key = found.signature_key(), found.public_key()
        raw = [one.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() for one in (authority, key)]
        sources = found.critical_options.get(b"source-address", b"").decode()
        return Shown(
            found.serial,
            found.key_id.decode(),
            tuple(one.decode() for one in found.valid_principals),
            found.valid_after,
            found.valid_before,
            fingerprint_of(raw[0]),
            found.type is SSHCertificateType.USER,
            tuple(sources.split(",")) if sources else (),
            fingerprint_of(raw[1]),
            found.extensions.get(EPOCH.encode(), b"").decode(),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise CertificateInvalid("the certificate cannot be read, or its signature is wrong") from None


def problem(one: Shown, user: str, trust: Trust, client: str, now_s: int) -> str:
    """Why a certificate lets ``user`` not in from the address ``client``; empty: it does."""
    is_own = one.authority in trust.own
    if not is_own and one.authority not in trust.others:
        return f"its authority {one.authority} is not trusted here"
    if not one.is_user:
        return "it is one of a host"
    if now_s < one.after_s:
        return f"it does not count before {_time(one.after_s)}"
    if now_s >= one.before_s:
        return f"it has expired: it counted until {_time(one.before_s)}"
    wanted = OWN_PREFIX + user if is_own else user
    if wanted not in one.principals:
        return (
            f"{_NAMES}{printable(', '.join(one.principals), WORD_CHARS) or 'nobody'}, and not "
            f"{printable(wanted, WORD_CHARS)}"
        )
    if _is_revoked(one, trust, is_own=is_own):
        return "it is revoked"
    if one.sources and not _is_from(client, one.sources):
        return f"{_NOT_FOR}{client}"
    return ""


def _is_revoked(one: Shown, trust: Trust, *, is_own: bool) -> bool:
    known = {("serial", str(one.serial)), ("key-id", one.key_id)} if is_own else set()
    # As sshd has it: of a key that counts no more nothing counts, also what it has signed.
    is_of_key = any(is_key_revoked(key, trust) for key in (one.fingerprint, one.authority))
    return is_of_key or bool(trust.revoked & {str(one.serial), one.key_id} or trust.revoked_own & known)


def is_key_revoked(fingerprint: str, trust: Trust) -> bool:
    """Whether a key counts no more, whatever it is shown with."""
    return fingerprint in trust.revoked or ("key", fingerprint) in trust.revoked_own


def unnamed(why: str) -> str:
    """What :func:`problem` has found, for the ledger, which names nobody in what it signs."""
    if why.startswith(_NAMES):
        return "it names others"
    return "it is not for the address that it came from" if why.startswith(_NOT_FOR) else why


def _is_from(client: str, sources: Collection[str]) -> bool:
    try:
        address = ip_address(client.partition("%")[0])
        return any(address in ip_network(source.strip(), strict=False) for source in sources)
    except ValueError:
        return False


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "the end of time"
