"""Access tokens: issue them, and tell a genuine one from everything else.

Decides who is calling. The rules, each closing a known hole (RFC 8725): the key is looked up by ``kid`` among the
cluster's own; the algorithm is the key's, never the token's; the type must be ``at+jwt``; header parameters that ours
never have (``crit``, ``jwk``, ``jku``, ...) are refused unread; the signature is checked before any claim is believed.

It needs neither Redis nor the database, so it answers while both are down. What it does not promise: that the session
of a genuine token still holds (:mod:`rppam.access.sessions.check` asks).
"""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import jwt
import msgspec
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from rppam.access.sessions.model import SessionKind, token_hash
from rppam.access.tokens.claims import ADMIN, BRIEF_S_MAX, LIFETIME_S_MAX, TEXT_MAX, Claims, check_claims
from rppam.access.tokens.key_files import StoredKey, load_signing_keys, signing_key_files
from rppam.http.errors import UnauthenticatedError
from rppam.http.serving_errors import SigningKeyError
from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.clock import Clock
from rppam.kernel.entropy import Entropy
from rppam.kernel.files import FileStamp, stamp_of, why_not
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret

log: Final = logging.getLogger("rppam.api")

TOKEN_TYPE: Final = "at+jwt"  # noqa: S105 - a media type
TOKEN_LENGTH_MAX: Final = 4096
MINUTES_MAX: Final = LIFETIME_S_MAX // 60
RSA_BITS_MIN: Final = 3072
REMEMBERED_MAX: Final = 16_384
"""Verified tokens; about 1.5 KiB each."""
_HEADER: Final = frozenset({"alg", "kid", "typ"})
_JWK_MEMBERS: Final = {"ES256": ("crv", "kty", "x", "y"), "RS256": ("e", "kty", "n")}
"""The required members of each kind of key: the public ones only, and those that its thumbprint covers."""
_ES256: Final = ECAlgorithm(ECAlgorithm.SHA256)
_RS256: Final = RSAAlgorithm(RSAAlgorithm.SHA256)


class SigningKey(NamedTuple):
    """One key with the one algorithm it is used with."""

    kid: str
    """RFC 7638 thumbprint: every node computes the same, and it names exactly this key."""
    algorithm: str
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    jwk: dict[str, str]
    head: bytes
    """What every token of it begins with: the header, encoded."""
    signs_from_s: int

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


class IssuedToken(NamedTuple):
    token: Secret
    claims: Claims


class KeySet:
    """All signing keys of the cluster; every one verifies."""

    def __init__(self, stored: Sequence[StoredKey]) -> None:
        """Read the stored keys, oldest first. Raises :class:`SigningKeyError` naming the file."""
        keys = sorted((_read(one) for one in stored), key=lambda key: key.signs_from_s)
        if not keys:
            raise SigningKeyError("there is no signing key; run 'rppam init' or copy the keys from another node")
        self._keys: Final = {key.kid: key for key in keys}

    @property
    def kids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def find(self, kid: str) -> SigningKey | None:
        return self._keys.get(kid)

    def signing(self, now_s: int) -> SigningKey:
        """The newest key whose time has come; the oldest when no time has (a clock that is behind)."""
        keys = list(self._keys.values())
        due = [key for key in keys if key.signs_from_s <= now_s]
        return due[-1] if due else keys[0]

    def public(self) -> dict[str, list[dict[str, str]]]:
        """The JSON Web Key Set (RFC 7517) for ``/.well-known/jwks.json``."""
        return {"keys": [dict(key.jwk) for key in self._keys.values()]}


class Tokens:
    """Issues and verifies this cluster's access tokens."""

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        node: str,
        clock: Clock,
        entropy: Entropy,
        session_clock: Clock | None = None,
    ) -> None:
        """``session_clock``: the one by which tokens of sessions are dated on all nodes. Those of hosts are dated by
        the host's own, since the command that makes them asks nobody; they are good while either clock says so."""
        self.keys = keys
        self._issuer, self._audience, self._node = issuer, audience, node
        self._clock, self._entropy = clock, entropy
        self._session_clock = session_clock or clock

    def use(self, keys: KeySet) -> None:
        """Issue and verify with these keys from now on."""
        self.keys = keys

    def new_sid(self) -> str:
        """A session's secret: 256 random bits."""
        return "".join(self._entropy.nonce() for _ in range(4))

    def issue(self, subject: str, roles: Sequence[str], minutes: int) -> IssuedToken:
        """A token of this host for ``subject`` that lives ``minutes`` (1 to 1440)."""
        if not 1 <= minutes <= MINUTES_MAX:
            raise ValueError(f"a token lives 1 to {MINUTES_MAX} minutes, found {minutes}")
        now_s = self._clock.wall_ms() // 1000
        return self._sign(subject, roles, self.new_sid(), SessionKind.HOST, now_s, now_s + minutes * 60)

    def issue_admin(self, subject: str, minutes: int) -> IssuedToken:
        """A token with the administrator's role, which everybody who can read the signing key could make anyway."""
        return self.issue(subject, (ADMIN,), minutes)

    def issue_brief(self, subject: str) -> IssuedToken:
        """As :meth:`issue_admin`, for a command that shows it to nobody: for minutes, and without a session."""
        now_s = self._clock.wall_ms() // 1000
        ends_at_s = now_s + BRIEF_S_MAX
        return self._sign(subject, (ADMIN,), self.new_sid(), SessionKind.HOST, now_s, ends_at_s, brief=True)

    def issue_for_session(
        self, subject: str, roles: Sequence[str], sid: str, now: WallMs, minutes: int, ends_at: WallMs
    ) -> IssuedToken:
        """A token of the session ``sid``: for ``minutes`` from ``now``, but never beyond ``ends_at``."""
        expires_at_s = min(now + minutes * 60_000, ends_at) // 1000
        return self._sign(subject, roles, sid, SessionKind.LOGIN, now // 1000, expires_at_s)

    def _sign(
        self,
        subject: str,
        roles: Sequence[str],
        sid: str,
        kind: SessionKind,
        now_s: int,
        expires_at_s: int,
        *,
        brief: bool = False,
    ) -> IssuedToken:
        if not 0 < len(subject) <= TEXT_MAX:
            raise ValueError(f"a user name has 1 to {TEXT_MAX} characters, found {len(subject)}")
        claims = Claims(
            subject=subject,
            roles=tuple(roles),
            session=sid,
            token_id=self._entropy.nonce() + self._entropy.nonce(),
            issued_at_s=now_s,
            not_before_s=now_s,
            expires_at_s=expires_at_s,
            issuer=self._issuer,
            audience=self._audience,
            node=self._node,
            kind=kind,
            brief=brief,
        )
        # By this host's own clock: when a key begins to sign was written down by such a one.
        key = self.keys.signing(self._clock.wall_ms() // 1000)
        return IssuedToken(Secret(_signed(key, claims)), claims)

    def has_expired(self, claims: Claims) -> bool:
        """Whether a token that was good once has come to its end."""
        # Asked at every request, so without a generator.
        if claims.expires_at_s > self._session_clock.wall_ms() // 1000:
            return False
        return claims.kind is not SessionKind.HOST or claims.expires_at_s <= self._clock.wall_ms() // 1000

    def _clocks(self, of_host: bool) -> Iterator[int]:  # which kind of token
        """What time it is for a token, in seconds: one of a host may go by its clock, which is not this one's."""
        yield self._session_clock.wall_ms() // 1000
        if of_host:
            yield self._clock.wall_ms() // 1000

    def verify(self, token: str) -> Claims:
        """The claims of a genuine, valid token. Raises :class:`UnauthenticatedError` for every other text."""
        found = self._verify(token)
        if isinstance(found, TokenFlaw):
            raise UnauthenticatedError(found)
        return found

    def _verify(self, token: str) -> Claims | TokenFlaw:
        if len(token) > TOKEN_LENGTH_MAX:
            return TokenFlaw.OVERSIZED
        if not token.isascii() or token.count(".") != 2:
            return TokenFlaw.MALFORMED
        header = _header(token)
        if header is None:
            return TokenFlaw.MALFORMED
        if "crit" in header:
            return TokenFlaw.CRITICAL
        if not _HEADER.issuperset(header):
            return TokenFlaw.HEADER
        kind, kid = header.get("typ"), header.get("kid")
        if not isinstance(kind, str) or kind.lower() not in {TOKEN_TYPE, f"application/{TOKEN_TYPE}"}:
            return TokenFlaw.TYPE
        key = self.keys.find(kid) if isinstance(kid, str) else None
        if key is None:
            return TokenFlaw.KEY
        if header.get("alg") != key.algorithm:
            return TokenFlaw.ALGORITHM
        try:
            content = jwt.PyJWS(algorithms=[key.algorithm]).decode(token, key.public, algorithms=[key.algorithm])
        except jwt.InvalidTokenError:
            return TokenFlaw.SIGNATURE
        try:
            payload = json.loads(content)
        except (ValueError, RecursionError):
            return TokenFlaw.MALFORMED
        if not isinstance(payload, dict):
            return TokenFlaw.MALFORMED
        found: Claims | TokenFlaw = TokenFlaw.SESSIONLESS
        for now_s in self._clocks(payload.get("kind") == SessionKind.HOST):
            found = check_claims(payload, issuer=self._issuer, audience=self._audience, now_s=now_s)
            if found not in {TokenFlaw.EARLY, TokenFlaw.EXPIRED}:
                break
        return found


class Bearer(NamedTuple):
    """A genuine token that has not expired."""

    claims: Claims
    ident: str
    """Names its session: the hash of the session's secret."""


class TokenCache:
    """Tokens that this process has verified already: the signature is checked once, not for each request.

    Decides nothing new: what is remembered is what ``verify`` found, for exactly these bytes and these signing keys,
    and the token's own end is looked at each time. Bounded in number; the one that was not seen for longest gives way.
    """

    def __init__(self, tokens: Tokens, remembered_max: int = REMEMBERED_MAX) -> None:
        self._tokens, self._max = tokens, remembered_max
        self._keys = tokens.keys
        self._known: dict[str, Bearer] = {}

    def __len__(self) -> int:
        return len(self._known)

    def check(self, token: str) -> Bearer:
        """What ``token`` says. Raises :class:`UnauthenticatedError`."""
        if self._keys is not self._tokens.keys:
            # A key may have been taken away: what it signed is worth nothing now.
            self._known.clear()
            self._keys = self._tokens.keys
        bearer = self._known.pop(token, None)
        if bearer is None:
            claims = self._tokens.verify(token)
            bearer = Bearer(claims, token_hash(claims.session))
            if len(self._known) >= self._max:
                del self._known[next(iter(self._known))]
        elif self._tokens.has_expired(bearer.claims):
            raise UnauthenticatedError(TokenFlaw.EXPIRED)
        self._known[token] = bearer
        return bearer


class KeyFolder:
    """The folder of signing keys as a running node sees it: looked at every second, read again when something changed.

    So a key that is put there verifies within a second, on every node for itself, and one that is taken away refuses
    what it signed. What cannot be used is logged once and read again with each look, since the reason may be gone while
    the files are the same; the earlier keys stay in the meantime. It does not copy keys to other nodes.
    """

    def __init__(self, directory: Path, tokens: Tokens) -> None:
        self._directory, self._tokens = directory, tokens
        self._stamps: tuple[tuple[str, FileStamp], ...] = ()
        """Of the files as the keys in use were read from them."""
        self._told = ""

    async def look(self) -> None:
        """Read the keys again if a file came, went or changed. Never raises."""
        try:
            stamps = self._stamped()
            if stamps and stamps == self._stamps:
                self._told = ""
                return
            keys = await asyncio.to_thread(lambda: KeySet(load_signing_keys(self._directory)))
        except Exception as error:  # noqa: BLE001 - logged; what looks every second must go on
            why = why_not(error)
            if why != self._told:
                log.warning("the changed signing keys cannot be used, those of before stay in use: %s", why)
            self._told = why
            return
        self._stamps, self._told = stamps, ""
        before = self._tokens.keys.kids
        self._tokens.use(keys)
        for kid in sorted(keys.kids - before):
            log.info("a new signing key is there: %s", kid)
        for kid in sorted(before - keys.kids):
            log.warning("a signing key is gone: %s; tokens that it signed are refused", kid)

    def _stamped(self) -> tuple[tuple[str, FileStamp], ...]:
        try:
            found = [(path, path.stat()) for path in signing_key_files(self._directory)]
        except OSError:
            return ()
        return tuple((path.name, stamp_of(status)) for path, status in found)


def _header(token: str) -> dict[str, object] | None:
    """The header, not to be believed yet; the library checks its encoding again, strictly, with the signature."""
    first = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    except (ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _read(stored: StoredKey) -> SigningKey:
    try:
        private = load_pem_private_key(stored.pem.reveal().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError) as error:
        # The library's own text can quote what it read; ours names the file only.
        raise SigningKeyError(
            f"{stored.name} is not a private key in PEM without a passphrase ({type(error).__name__}); "
            "replace it from another node or a backup"
        ) from None
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return _signing_key("ES256", private, private.public_key(), stored)
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size >= RSA_BITS_MIN:
        return _signing_key("RS256", private, private.public_key(), stored)
    size = getattr(private, "key_size", None)
    raise SigningKeyError(
        f"{stored.name} is a {type(private).__name__}{f' of {size} bits' if size else ''}; "
        f"expected P-256 (ES256) or RSA of at least {RSA_BITS_MIN} bits (RS256)"
    )


def _signing_key(
    algorithm: str,
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    stored: StoredKey,
) -> SigningKey:
    if isinstance(public, ec.EllipticCurvePublicKey):
        raw = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        raw = RSAAlgorithm.to_jwk(public, as_dict=True)
    jwk = {name: str(raw[name]) for name in _JWK_MEMBERS[algorithm]}
    # RFC 7638, section 3: the required members in lexicographic order, without white space, hashed.
    canonical = json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()
    kid = _base64(hashlib.sha256(canonical).digest()).decode()
    head = _base64(json.dumps({"alg": algorithm, "kid": kid, "typ": TOKEN_TYPE}, separators=(",", ":")).encode())
    public_jwk = {**jwk, "kid": kid, "alg": algorithm, "use": "sig"}
    return SigningKey(kid, algorithm, private, public, public_jwk, head, stored.signs_from_s)


def _signed(key: SigningKey, claims: Claims) -> str:
    """The token (RFC 7515, section 7.1). The library would put the header together for each, which costs about as
    much as the signature."""
    text = key.head + b"." + _base64(msgspec.json.encode(claims))
    if isinstance(key.private, ec.EllipticCurvePrivateKey):
        signature = _ES256.sign(text, key.private)
    else:
        signature = _RS256.sign(text, key.private)
    return (text + b"." + _base64(signature)).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
