"""The join bundle opens with its passphrase, and with nothing else."""

import base64
import json
import re
from collections.abc import Callable, Iterator

import pytest

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.setup.bundle import SCRYPT_N as DEAR_N, Bundle, seal, unseal
from rppam.setup.errors import BundleError, BundleExpired

BUNDLE = Bundle({"node": {"nodeName": "node1"}}, {"cluster.key": Secret("s3cr3t-key"), "jwt/a.pem": Secret("-----")})
NOW = WallMs(1_800_000_000_000)
HOUR_MS = 3_600_000
CHEAP_N = 2**14
PASSPHRASE = Secret("aaaaaa-bbbbbb-cccccc-dddddd")


@pytest.fixture(scope="module", autouse=True)
def _cheap() -> Iterator[None]:
    """The least that is taken from a file: a fifth of a second for each bundle would be most of what these tests do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rppam.setup.bundle.SCRYPT_N", CHEAP_N)
        yield


@pytest.fixture(scope="module")
def sealed() -> str:
    return seal(BUNDLE, PASSPHRASE, NOW)


def test_a_passphrase_is_as_dear_as_it_shall_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rppam.setup.bundle.SCRYPT_N", DEAR_N)
    text = seal(BUNDLE, PASSPHRASE, NOW)
    assert (json.loads(text)["kdf"]["n"], DEAR_N) == (65_536, 2**16)
    assert unseal(text, PASSPHRASE, NOW, place="b") == BUNDLE


def test_it_opens_with_its_passphrase_also_typed_with_a_line_end(sealed: str) -> None:
    assert unseal(sealed, PASSPHRASE, NOW, place="b") == BUNDLE
    assert unseal(sealed, Secret(PASSPHRASE.reveal() + "\n"), NOW, place="b") == BUNDLE


@pytest.mark.parametrize(
    ("hours", "later_ms", "why"),
    [
        (24, 24 * HOUR_MS, ""),
        (
            24,
            24 * HOUR_MS + 1,
            "it could be opened until 2027-01-16T08:00:00Z, and this host's clock says 2027-01-16T08",
        ),
        (1, 2 * HOUR_MS, "it could be opened until 2027-01-15T09:00:00Z"),
        (24, -200_000, ""),
        (24, -HOUR_MS, "it was made at 2027-01-15T08:00:00Z, and this host's clock says 2027-01-15T07:00"),
    ],
)
def test_it_opens_in_its_time_alone_and_an_hour_of_the_clock_is_named(hours: int, later_ms: int, why: str) -> None:
    text = seal(BUNDLE, PASSPHRASE, NOW, hours=hours)
    if not why:
        assert unseal(text, PASSPHRASE, WallMs(NOW + later_ms), place="b") == BUNDLE
        return
    with pytest.raises(BundleExpired, match=re.escape(f"b: {why}")):
        unseal(text, PASSPHRASE, WallMs(NOW + later_ms), place="b")


def test_its_time_cannot_be_lengthened_without_the_passphrase(sealed: str) -> None:
    longer = changed(sealed, "expiresAt", to=NOW + 10**12)
    with pytest.raises(BundleError, match="or the file was changed"):
        unseal(longer, PASSPHRASE, WallMs(NOW + 10**11), place="b")


def test_for_whom_it_is_is_sealed_with_it() -> None:
    own = BUNDLE._replace(only_for="node2")
    text = seal(own, PASSPHRASE, NOW)
    assert "node2" not in text
    assert unseal(text, PASSPHRASE, NOW, place="b") == own


def test_nothing_of_the_content_shows(sealed: str) -> None:
    assert "node1" not in sealed
    assert "s3cr3t" not in sealed
    assert "s3cr3t" not in repr(BUNDLE)
    assert "cluster.key" not in sealed


def test_two_bundles_share_neither_salt_nor_nonce(sealed: str) -> None:
    one, other = json.loads(sealed), json.loads(seal(BUNDLE, PASSPHRASE, NOW))
    assert one["nonce"] != other["nonce"]
    assert one["kdf"]["salt"] != other["kdf"]["salt"]


def test_another_passphrase_is_refused(sealed: str) -> None:
    with pytest.raises(BundleError, match=r"^/x/b: the passphrase does not open it"):
        unseal(sealed, Secret("aaaaaa-bbbbbb-cccccc-ddddde"), NOW, place="/x/b")


def changed(sealed: str, *path: str, to: object) -> str:
    outer = json.loads(sealed)
    place = outer
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(outer)


def flipped(sealed: str) -> str:
    outer = json.loads(sealed)
    raw = bytearray(base64.b64decode(outer["sealed"]))
    raw[0] ^= 1
    outer["sealed"] = base64.b64encode(bytes(raw)).decode()
    return json.dumps(outer)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (flipped, "passphrase does not open it, or the file was changed"),
        (lambda text: changed(text, "extra", to="added to the header"), "or the file was changed"),
        (lambda text: changed(text, "format", to="rppam-join-bundle-2"), "rppam-join-bundle-2"),
        (lambda text: changed(text, "kdf", "n", to=2**30), "key derivation that this version does not do"),
        (lambda text: changed(text, "kdf", "n", to=1), "key derivation"),
        (lambda text: changed(text, "kdf", "n", to=2**16 + 1), "key derivation"),
        (lambda text: changed(text, "kdf", "name", to="pbkdf2"), "key derivation"),
        (lambda text: changed(text, "kdf", to=None), "incomplete or damaged"),
        (lambda text: changed(text, "nonce", to="AAAA"), "incomplete or damaged"),
        (lambda text: changed(text, "nonce", to="%%%"), "incomplete or damaged"),
        (lambda text: text[: len(text) // 2], "expected a join bundle"),
        (lambda text: "[]", "found 'list'"),
        (lambda text: "[" * 500_000, "expected a join bundle"),
        (lambda text: " " * 2_000_000, "at most"),
    ],
)
def test_a_changed_file_is_refused(sealed: str, change: Callable[[str], str], found: str) -> None:
    with pytest.raises(BundleError, match=found):
        unseal(change(sealed), PASSPHRASE, NOW, place="b")


@pytest.mark.parametrize(
    "content",
    [
        Bundle([1], {}),  # type: ignore[arg-type]
        Bundle("x", {}),  # type: ignore[arg-type]
        Bundle({}, {"cluster.key": Secret(5)}),  # type: ignore[arg-type]
        Bundle({}, {}, only_for=5),  # type: ignore[arg-type]
    ],
    ids=["a list", "a text", "a number for a file", "a number for a name"],
)
def test_what_somebody_with_the_passphrase_made_up_is_refused(content: Bundle) -> None:
    with pytest.raises(BundleError, match=r"^b: what it holds is not what 'rppam init --bundle' writes"):
        unseal(seal(content, PASSPHRASE, NOW), PASSPHRASE, NOW, place="b")
