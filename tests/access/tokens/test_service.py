"""A token is genuine and valid, or it is refused for one reason that only the log learns."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, strategies as st

from rppam.access.tokens.claims import BRIEF_S_MAX, LEEWAY_S, LIFETIME_S_MAX, Claims, check_claims
from rppam.access.tokens.key_files import StoredKey
from rppam.access.tokens.service import KeySet, SigningKey, Tokens
from rppam.http.errors import UnauthenticatedError
from rppam.http.serving_errors import SigningKeyError
from rppam.http.token_flaws import TokenFlaw
from rppam.kernel.secret import Secret
from tests.support.signing_keys import NOW_S, Counting, SetClock, p256, rsa_key, stored

OURS = p256()
THEIRS = p256()
CLOCK = SetClock()


def tokens_with(*keys: StoredKey, clock: SetClock = CLOCK) -> Tokens:
    return Tokens(KeySet(keys), issuer="iss", audience="aud", node="node1", clock=clock, entropy=Counting())


TOKENS = tokens_with(stored(OURS))
KEY: SigningKey = TOKENS.keys.signing(NOW_S)
GOOD: dict[str, Any] = {
    "sub": "admin",
    "roles": ["pam_admin"],
    "sid": "s",
    "jti": "j",
    "iat": NOW_S,
    "nbf": NOW_S,
    "exp": NOW_S + 600,
    "iss": "iss",
    "aud": "aud",
    "node": "node2",
    "kind": "host",
}
HEADER = {"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"}


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(
    header: dict[str, Any] | None = None, key: ec.EllipticCurvePrivateKey = OURS, payload: object = None, **claims: Any
) -> str:
    """A token made by hand, so that the library's own checks on encoding do not get in the way."""
    head = b64(json.dumps(HEADER if header is None else header).encode())
    body = b64(json.dumps(GOOD | claims if payload is None else payload).encode())
    algorithm = jwt.get_algorithm_by_name("ES256")
    return f"{head}.{body}.{b64(algorithm.sign(f'{head}.{body}'.encode(), key))}"


def flaw(token: str, tokens: Tokens = TOKENS) -> TokenFlaw | None:
    try:
        tokens.verify(token)
    except UnauthenticatedError as error:
        return error.flaw
    return None


def test_all_refusals_sound_the_same_outside() -> None:
    assert {str(UnauthenticatedError(one)) for one in TokenFlaw} == {"a valid access token is needed"}


def test_what_is_issued_verifies_and_says_what_was_asked() -> None:
    issued = TOKENS.issue("ursula", ["pam_user", "pam_approver"], 15)
    claims = TOKENS.verify(issued.token.reveal())
    assert claims == issued.claims
    assert (claims.subject, claims.roles, claims.is_admin) == ("ursula", ("pam_user", "pam_approver"), False)
    assert (claims.issued_at_s, claims.not_before_s, claims.expires_at_s) == (NOW_S, NOW_S, NOW_S + 900)
    assert (claims.issuer, claims.audience, claims.node) == ("iss", "aud", "node1")
    assert jwt.get_unverified_header(issued.token.reveal()) == HEADER
    assert issued.token.reveal() not in repr(issued)
    another = TOKENS.issue_admin("ursula", 15)
    assert another.claims.is_admin
    assert another.claims.token_id != claims.token_id


def test_a_hand_made_good_token_passes_so_the_refusals_below_mean_something() -> None:
    assert flaw(signed()) is None
    assert flaw(signed(header=HEADER | {"typ": "application/AT+JWT"})) is None


PUBLIC_PEM = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with_public_key() -> str:
    """The classic: the public key used as the secret of HS256."""
    head = b64(json.dumps(HEADER | {"alg": "HS256"}).encode())
    body = b64(json.dumps(GOOD).encode())
    return f"{head}.{body}.{b64(hmac.new(PUBLIC_PEM, f'{head}.{body}'.encode(), hashlib.sha256).digest())}"


def unsigned(alg: str) -> str:
    return f"{b64(json.dumps(HEADER | {'alg': alg}).encode())}.{b64(json.dumps(GOOD).encode())}."


def zero_signature() -> str:
    """CVE-2022-21449: r = s = 0."""
    return signed().rsplit(".", 1)[0] + "." + b64(b"\0" * 64)


def tampered() -> str:
    head, _, signature = signed().split(".")
    return f"{head}.{b64(json.dumps(GOOD | {'sub': 'root'}).encode())}.{signature}"


def embedded_key() -> str:
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(THEIRS.public_key()))
    return signed(header=HEADER | {"jwk": jwk}, key=THEIRS)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", TokenFlaw.MALFORMED),
        ("a.b", TokenFlaw.MALFORMED),
        ("a.b.c", TokenFlaw.MALFORMED),
        ("a.b.c.d.e", TokenFlaw.MALFORMED),
        ("é.b.c", TokenFlaw.MALFORMED),
        (f"{b64(b'[]')}.{b64(b'{}')}.AA", TokenFlaw.MALFORMED),
        (f"{b64(b'[' * 2000)}.e30.AA", TokenFlaw.MALFORMED),
        (signed(pad="x" * 4096), TokenFlaw.OVERSIZED),
        (unsigned("none"), TokenFlaw.ALGORITHM),
        (unsigned("None"), TokenFlaw.ALGORITHM),
        (unsigned(""), TokenFlaw.ALGORITHM),
        (hmac_with_public_key(), TokenFlaw.ALGORITHM),
        (signed(header=HEADER | {"alg": "RS256"}), TokenFlaw.ALGORITHM),
        (signed(header=HEADER | {"alg": "es256"}), TokenFlaw.ALGORITHM),
        (signed(header=HEADER | {"alg": None}), TokenFlaw.ALGORITHM),
        (signed(header=HEADER | {"alg": ["ES256"]}), TokenFlaw.ALGORITHM),
        (signed(header={"kid": KEY.kid, "typ": "at+jwt"}), TokenFlaw.ALGORITHM),
        (signed(header=HEADER | {"kid": "../../../etc/passwd"}), TokenFlaw.KEY),
        (signed(header=HEADER | {"kid": ""}), TokenFlaw.KEY),
        (signed(header={"alg": "ES256", "typ": "at+jwt"}), TokenFlaw.KEY),
        (signed(header=HEADER | {"typ": "JWT"}), TokenFlaw.TYPE),
        (signed(header={"alg": "ES256", "kid": KEY.kid}), TokenFlaw.TYPE),
        (signed(header=HEADER | {"typ": 1}), TokenFlaw.TYPE),
        (signed(header=HEADER | {"crit": ["exp"]}), TokenFlaw.CRITICAL),
        (signed(header=HEADER | {"crit": []}), TokenFlaw.CRITICAL),
        (signed(header=HEADER | {"b64": False, "crit": ["b64"]}), TokenFlaw.CRITICAL),
        (signed(header=HEADER | {"jku": "https://evil.example"}), TokenFlaw.HEADER),
        (signed(header=HEADER | {"x5u": "https://evil.example"}), TokenFlaw.HEADER),
        (embedded_key(), TokenFlaw.HEADER),
        (signed(key=THEIRS), TokenFlaw.SIGNATURE),
        (zero_signature(), TokenFlaw.SIGNATURE),
        (tampered(), TokenFlaw.SIGNATURE),
        (signed().rsplit(".", 1)[0] + ".", TokenFlaw.SIGNATURE),
        (signed()[:-4], TokenFlaw.SIGNATURE),
        (signed().replace(".", "=.", 1), TokenFlaw.SIGNATURE),
        (signed(payload=[GOOD]), TokenFlaw.MALFORMED),
        (signed(payload="text"), TokenFlaw.MALFORMED),
        (signed(exp=NOW_S), TokenFlaw.EXPIRED),
        (signed(exp=NOW_S - 1, iat=NOW_S - 600), TokenFlaw.EXPIRED),
        (signed(nbf=NOW_S + LEEWAY_S + 1), TokenFlaw.EARLY),
        (signed(iat=NOW_S + LEEWAY_S + 1), TokenFlaw.EARLY),
        (signed(exp=NOW_S + LIFETIME_S_MAX + 1), TokenFlaw.LIFETIME),
        (signed(brief=True, kind="host", exp=NOW_S + BRIEF_S_MAX + 1), TokenFlaw.LIFETIME),
        (signed(brief=True, kind="login", exp=NOW_S + 60), TokenFlaw.CLAIM_SHAPE),
        (signed(brief=1, kind="host", exp=NOW_S + 60), TokenFlaw.CLAIM_SHAPE),
        (signed(iss="other"), TokenFlaw.ISSUER),
        (signed(aud="other"), TokenFlaw.AUDIENCE),
        (signed(aud=["aud"]), TokenFlaw.CLAIM_SHAPE),
        (signed(aud=["aud", "other"]), TokenFlaw.CLAIM_SHAPE),
        (signed(exp=str(NOW_S + 60)), TokenFlaw.CLAIM_SHAPE),
        (signed(exp=NOW_S + 60.5), TokenFlaw.CLAIM_SHAPE),
        (signed(exp=True), TokenFlaw.CLAIM_SHAPE),
        (signed(exp=2**63), TokenFlaw.CLAIM_SHAPE),
        (signed(exp=None), TokenFlaw.CLAIM_SHAPE),
        (signed(sub=""), TokenFlaw.CLAIM_SHAPE),
        (signed(sub=["admin"]), TokenFlaw.CLAIM_SHAPE),
        (signed(roles="pam_admin"), TokenFlaw.CLAIM_SHAPE),
        (signed(roles=["pam_admin", 1]), TokenFlaw.CLAIM_SHAPE),
        (signed(roles=["r"] * 33), TokenFlaw.CLAIM_SHAPE),
        (signed(kind="root"), TokenFlaw.CLAIM_SHAPE),
        (signed(kind=["host"]), TokenFlaw.CLAIM_SHAPE),
        (signed(payload=without("kind")), TokenFlaw.SESSIONLESS),
        *[(signed(payload=without(name)), TokenFlaw.CLAIM_MISSING) for name in GOOD if name != "kind"],
    ],
)
def test_everything_else_is_refused_for_its_own_reason(token: str, expected: TokenFlaw) -> None:
    assert flaw(token) is expected


def test_the_leeway_forgives_a_clock_that_is_ahead_but_never_lengthens_a_life() -> None:
    assert flaw(signed(nbf=NOW_S + LEEWAY_S, iat=NOW_S + LEEWAY_S)) is None
    assert flaw(signed(exp=NOW_S + 1)) is None
    assert flaw(signed(exp=NOW_S)) is TokenFlaw.EXPIRED


def test_a_token_dies_with_the_clock_and_not_before() -> None:
    clock = SetClock()
    tokens = tokens_with(stored(OURS), clock=clock)
    token = tokens.issue("admin", ["pam_admin"], 1).token.reveal()
    clock.now_s += 59
    assert flaw(token, tokens) is None
    clock.now_s += 1
    assert flaw(token, tokens) is TokenFlaw.EXPIRED


def test_a_key_signs_only_with_the_algorithm_it_is_pinned_to() -> None:
    """An RSA key and an EC key side by side: a token may not name one and be signed the other's way."""
    rsa_private = rsa_key(3072)
    tokens = tokens_with(stored(OURS, signs_from_s=5), stored(rsa_private))
    by_algorithm = {key["alg"]: key["kid"] for key in tokens.keys.public()["keys"]}
    assert set(by_algorithm) == {"ES256", "RS256"}
    good = jwt.encode(GOOD, rsa_private, algorithm="RS256", headers={"kid": by_algorithm["RS256"], "typ": "at+jwt"})
    assert flaw(good, tokens) is None
    crossed = jwt.encode(GOOD, rsa_private, algorithm="RS256", headers={"kid": by_algorithm["ES256"], "typ": "at+jwt"})
    assert flaw(crossed, tokens) is TokenFlaw.ALGORITHM
    weaker = jwt.encode(GOOD, rsa_private, algorithm="RS512", headers={"kid": by_algorithm["RS256"], "typ": "at+jwt"})
    assert flaw(weaker, tokens) is TokenFlaw.ALGORITHM


def test_a_new_key_verifies_at_once_and_signs_from_its_date_on() -> None:
    clock = SetClock()
    old, new = stored(OURS, "old.pem", NOW_S - 1000), stored(THEIRS, "new.pem", NOW_S + 1000)
    before, both = tokens_with(old, clock=clock), tokens_with(new, old, clock=clock)
    first = both.issue("a", [], 60).token.reveal()
    assert flaw(first, before) is None, "a node that has not the new key yet is not left behind"
    clock.now_s += 1000
    second = both.issue("a", [], 60).token.reveal()
    assert flaw(second, before) is TokenFlaw.KEY
    assert flaw(second, both) is None
    assert flaw(first, both) is None
    early = tokens_with(new, clock=SetClock(NOW_S))
    assert flaw(early.issue("a", [], 60).token.reveal(), early) is None, "a clock that is behind still has a key"


def test_the_key_id_is_the_thumbprint_of_rfc_7638_and_the_public_set_holds_nothing_private() -> None:
    [key] = TOKENS.keys.public()["keys"]
    canonical = json.dumps({name: key[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    assert key["kid"] == b64(hashlib.sha256(canonical.encode()).digest())
    assert set(key) == {"crv", "kty", "x", "y", "kid", "alg", "use"}
    assert "d" not in key
    assert repr(KEY) == f"SigningKey(kid={KEY.kid!r}, algorithm='ES256')"


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "of 384 bits"),
        (rsa_key(2048), "of 2048 bits"),
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
    ],
)
def test_a_key_of_another_kind_is_refused_by_name(key: Any, reason: str) -> None:
    with pytest.raises(SigningKeyError, match=rf"(?s)odd\.pem.*{reason}.*expected P-256"):
        KeySet([stored(key, "odd.pem")])


def test_a_file_that_is_no_key_is_refused_without_quoting_it() -> None:
    for text in ("", "secret-content", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(SigningKeyError, match=r"odd\.pem is not a private key") as caught:
            KeySet([StoredKey("odd.pem", Secret(text), 0)])
        assert "secret-content" not in str(caught.value)
    with pytest.raises(SigningKeyError, match="no signing key"):
        KeySet([])


@pytest.mark.parametrize(("subject", "minutes"), [("", 5), ("x" * 257, 5), ("admin", 0), ("admin", 1441)])
def test_a_token_nobody_should_have_is_not_issued(subject: str, minutes: int) -> None:
    with pytest.raises(ValueError, match="found"):
        TOKENS.issue(subject, [], minutes)


@given(token=st.text(max_size=80) | st.lists(st.text("ab-_=.", max_size=20), min_size=3, max_size=3).map(".".join))
def test_no_text_is_a_token_and_none_makes_it_stumble(token: str) -> None:
    assert flaw(token) is not None


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(changes=st.dictionaries(st.sampled_from(sorted(GOOD)), json_value, max_size=4))
def test_claims_of_any_shape_are_judged_and_a_pass_means_every_rule_holds(changes: dict[str, Any]) -> None:
    found = check_claims(GOOD | changes, issuer="iss", audience="aud", now_s=NOW_S)
    if isinstance(found, Claims):
        assert (found.issuer, found.audience) == ("iss", "aud")
        assert found.expires_at_s > NOW_S >= max(found.issued_at_s, found.not_before_s) - LEEWAY_S
        assert found.expires_at_s - found.issued_at_s <= LIFETIME_S_MAX
        assert json.loads(msgspec.json.encode(found)) == GOOD | changes
