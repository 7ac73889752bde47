"""Signed licence files: what passes, and every way not to."""

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, strategies as st

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.licence.errors import (
    LicenceError,
    LicenceKeyUnknown,
    LicenceKeyUnusable,
    LicenceMalformed,
    LicenceSignatureBad,
    LicenceTermsInvalid,
    LicenceWrongType,
)
from rppam.licence.model import LicenceState, Tier, state_of
from rppam.licence.service import (
    TYPE,
    Terms,
    inspect,
    issue,
    new_private_key,
    parse_private_key,
    parse_public_key,
    trusted_key,
    verify,
)

NOW = WallMs(1_795_478_400_000)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TRUSTED = trusted_key(KEY.public_key())
TERMS = Terms("ACME Größe", Tier.ENTERPRISE, 10, 365, max_users=500, features=("ai", "siem"))
GOOD = issue(TERMS, KEY, "licence-1", NOW)
CLAIMS: dict[str, Any] = jwt.decode(GOOD, options={"verify_signature": False})


def signed(claims: object, *, key: Any = KEY, algorithm: str = "EdDSA", **header: object) -> str:
    headers = {"typ": TYPE, "kid": TRUSTED.id} | header
    return jwt.api_jws.encode(json.dumps(claims).encode(), key, algorithm=algorithm, headers=headers)


def test_what_is_issued_is_read_back() -> None:
    licence = verify(f"\n {GOOD}\r\n", [TRUSTED])
    assert licence == inspect(GOOD)
    assert (licence.id, licence.customer, licence.tier, licence.max_nodes) == (
        "licence-1",
        "ACME Größe",
        "enterprise",
        10,
    )
    assert (licence.max_users, licence.max_resources, licence.features) == (500, None, ("ai", "siem"))
    assert (licence.issued_at, licence.expires_at) == (NOW, NOW + 365 * 86_400_000)
    assert licence.key_id == TRUSTED.id


def test_another_file_is_told_by_its_size_and_not_shown() -> None:
    with pytest.raises(LicenceMalformed, match=r"found 25 characters on 2 lines$") as told:
        verify("a password\nof another one", [TRUSTED])
    assert "password" not in str(told.value)
    with pytest.raises(LicenceKeyUnusable, match=r"found 3 characters on 1 line that are neither$"):
        parse_public_key("a b", "--trusted")


def test_an_expired_licence_still_verifies() -> None:
    licence = verify(issue(TERMS._replace(days=1), KEY, "old", WallMs(NOW - 10 * 86_400_000)), [TRUSTED])
    assert state_of(licence, NOW) is LicenceState.EXPIRED


def test_the_thumbprint_is_the_one_of_the_rfc() -> None:
    # RFC 8037, appendix A.3: the key of appendix A.1 and its thumbprint.
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    assert trusted_key(Ed25519PublicKey.from_public_bytes(raw)).id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_another_key_is_unknown_also_under_the_trusted_name() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(LicenceKeyUnknown, match=r"trusted: none; license\.trustedKeys is empty"):
        verify(GOOD, [])
    with pytest.raises(LicenceKeyUnknown, match=TRUSTED.id):
        verify(GOOD, [trusted_key(other.public_key())])
    with pytest.raises(LicenceSignatureBad):
        verify(signed(CLAIMS, key=other), [TRUSTED])


def test_each_changed_character_of_the_claims_or_signature_is_found() -> None:
    head, body, signature = GOOD.split(".")
    for place in range(0, len(body), 7):
        changed = body[:place] + ("A" if body[place] != "A" else "B") + body[place + 1 :]
        with pytest.raises((LicenceSignatureBad, LicenceMalformed)):
            verify(f"{head}.{changed}.{signature}", [TRUSTED])
    for changed in ("", signature[:-4], "A" * len(signature)):
        with pytest.raises((LicenceSignatureBad, LicenceMalformed)):
            verify(f"{head}.{body}.{changed}", [TRUSTED])


def test_the_algorithm_and_the_type_are_pinned() -> None:
    public_pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    none = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none", "typ": TYPE, "kid": TRUSTED.id}, CLAIMS)
    )
    wrong = [
        none + ".",
        signed(CLAIMS, key=base64.b64encode(public_pem).decode(), algorithm="HS256"),
        signed(CLAIMS, key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        signed(CLAIMS, typ="JWT"),
        signed(CLAIMS, typ="at+jwt"),
        signed(CLAIMS, typ=None),
        signed(CLAIMS, jku="https://example.org/keys"),
    ]
    for token in wrong:
        with pytest.raises(LicenceWrongType):
            verify(token, [TRUSTED])
        with pytest.raises(LicenceWrongType):
            inspect(token)
    with pytest.raises(LicenceSignatureBad):
        verify(signed(CLAIMS, key=ed448.Ed448PrivateKey.generate()), [TRUSTED])


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("tier", "gold"),
        ("tier", None),
        ("tier", "standard"),  # with ten nodes
        ("maxNodes", 0),
        ("maxNodes", "10"),
        ("maxNodes", True),
        ("maxNodes", 10.0),
        ("maxNodes", 1_001),
        ("maxNodes", 10**400),
        ("maxUsers", 0),
        ("maxResources", -1),
        ("features", "ai"),
        ("features", ["a b"]),
        ("features", ["x"] * 65),
        ("jti", ""),
        ("customer", "line\nbreak"),
        ("customer", "x" * 201),
        ("exp", CLAIMS["iat"]),
        ("exp", 10**15),
        ("exp", None),
        ("iat", -5),
        ("iat", "yesterday"),
    ],
)
def test_a_signed_claim_that_cannot_stand_is_named(claim: str, value: object) -> None:
    named = "maxNodes" if value == "standard" else claim
    with pytest.raises(LicenceMalformed, match=f"claim {named}: expected .*, found ") as caught:
        verify(signed({**CLAIMS, claim: value}), [TRUSTED])
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", " \n", "not a licence", "a.b", "a.b.c", "....", "{}", GOOD + "." + GOOD, f'"{GOOD}"', "é.é.é", "A" * 70_000],
)
def test_what_is_no_licence_is_said_so(text: str) -> None:
    with pytest.raises(LicenceMalformed):
        verify(text, [TRUSTED])
    with pytest.raises(LicenceMalformed):
        inspect(text)


def test_claims_that_are_no_object() -> None:
    wrong: tuple[object, ...] = ([], "text", 5, None)
    for claims in wrong:
        with pytest.raises(LicenceMalformed):
            verify(signed(claims), [TRUSTED])


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_text_breaks_the_reader(text: str) -> None:
    for token in (text, f"{text}.{text}.{text}", GOOD.replace(GOOD.split(".")[0], text.replace(".", "") or "e", 1)):
        with pytest.raises(LicenceError):
            verify(token, [TRUSTED])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tier": Tier.STANDARD}, "max-nodes: Standard runs 1 node, found 10"),
        ({"max_nodes": 0}, "claim maxNodes"),
        ({"days": 0}, "claim exp"),
        ({"customer": ""}, "claim customer"),
        ({"features": ("no spaces please",)}, "claim features"),
    ],
)
def test_terms_that_cannot_stand_are_never_signed(change: dict[str, Any], told: str) -> None:
    with pytest.raises(LicenceTermsInvalid, match=told):
        issue(TERMS._replace(**change), KEY, "licence-1", NOW)


def test_keys_are_read_as_people_paste_them() -> None:
    public = KEY.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    for text in (
        pem,
        f"\n{pem}\n",
        TRUSTED.text(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
    ):
        assert parse_public_key(text, "here").id == TRUSTED.id
    secret, made = new_private_key()
    assert trusted_key(parse_private_key(secret, "here").public_key()).id == made.id


def test_keys_that_cannot_be_used_are_named_by_their_place() -> None:
    private = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    other = ec.generate_private_key(ec.SECP256R1())
    other_pem = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for text in (
        "",
        "hello",
        private,
        other_pem,
        "A" * 42,
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ):
        with pytest.raises(LicenceKeyUnusable, match=r"^license\.trustedKeys\[2\]: ") as caught:
            parse_public_key(text, "license.trustedKeys[2]")
        assert "BEGIN" not in str(caught.value)
    locked = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()
    other_private = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text, told in ((locked, "is encrypted"), (other_private, "another kind"), ("x", "in PEM")):
        with pytest.raises(LicenceKeyUnusable, match=told):
            parse_private_key(Secret(text), "issuer.pem")
