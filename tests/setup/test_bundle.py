"""The join bundle opens with its passphrase, and with nothing else."""

import base64
import json
from collections.abc import Callable

import pytest

from rppam.kernel.secret import Secret
from rppam.setup.bundle import Bundle, seal, unseal
from rppam.setup.errors import BundleError

BUNDLE = Bundle({"node": {"nodeName": "node1"}}, {"cluster.key": Secret("s3cr3t-key"), "jwt/a.pem": Secret("-----")})
PASSPHRASE = Secret("aaaaaa-bbbbbb-cccccc-dddddd")


@pytest.fixture(scope="module")
def sealed() -> str:
    return seal(BUNDLE, PASSPHRASE)


def test_it_opens_with_its_passphrase_also_typed_with_a_line_end(sealed: str) -> None:
    assert unseal(sealed, PASSPHRASE, place="b") == BUNDLE
    assert unseal(sealed, Secret(PASSPHRASE.reveal() + "\n"), place="b") == BUNDLE


def test_nothing_of_the_content_shows(sealed: str) -> None:
    assert "node1" not in sealed
    assert "s3cr3t" not in sealed
    assert "s3cr3t" not in repr(BUNDLE)
    assert "cluster.key" not in sealed


def test_two_bundles_share_neither_salt_nor_nonce(sealed: str) -> None:
    one, other = json.loads(sealed), json.loads(seal(BUNDLE, PASSPHRASE))
    assert one["nonce"] != other["nonce"]
    assert one["kdf"]["salt"] != other["kdf"]["salt"]


def test_another_passphrase_is_refused(sealed: str) -> None:
    with pytest.raises(BundleError, match=r"^/x/b: the passphrase does not open it"):
        unseal(sealed, Secret("aaaaaa-bbbbbb-cccccc-ddddde"), place="/x/b")


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
        unseal(change(sealed), PASSPHRASE, place="b")


@pytest.mark.parametrize(
    "content",
    [Bundle([1], {}), Bundle("x", {}), Bundle({}, {"cluster.key": Secret(5)})],  # type: ignore[arg-type]
    ids=["a list", "a text", "a number for a file"],
)
def test_what_somebody_with_the_passphrase_made_up_is_refused(content: Bundle) -> None:
    with pytest.raises(BundleError, match=r"^b: what it holds is not what 'rppam init --bundle' writes"):
        unseal(seal(content, PASSPHRASE), PASSPHRASE, place="b")
