"""What was sealed, derived or signed before there was one sealed format still opens, and is still the same.

``sealed_before.json`` was made by the code of each place as it stood then.
"""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from rppam.app.limits import limit_key
from rppam.cache.model import CacheKey, Copy, Kind
from rppam.cache.sealing import Sealer
from rppam.cluster.link import credentials
from rppam.cluster.link.credentials import proof_of
from rppam.config.host_secrets import decrypt, encrypt
from rppam.crypto.data_key_ports import ClusterSecrets, WrappedKey
from rppam.crypto.data_keys import DataKeys, wrapping_of
from rppam.crypto.errors import SealBroken
from rppam.crypto.sealed import Label, SealRefused, derived, framed, seal, unseal
from rppam.crypto.store_mac import StoreMac
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.setup.bundle import unseal as open_bundle

BEFORE: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("sealed_before.json").read_text(encoding="utf-8"))
SECRET: Final = Secret("0f" * 32)
KEY: Final = bytes(range(32))


class KeptKeys:
    """A store of data keys in memory."""

    def __init__(self, *keys: WrappedKey) -> None:
        self.keys = keys

    async def all(self) -> tuple[WrappedKey, ...]:
        return self.keys

    async def add(self, key: WrappedKey) -> None:
        self.keys = (key, *self.keys)

    async def replace(self, old: WrappedKey, new: WrappedKey) -> None:
        self.keys = tuple(new if key == old else key for key in self.keys)


def test_an_encrypted_value_of_a_config_opens() -> None:
    assert decrypt(BEFORE["hostValue"], Path("k"), KEY).reveal() == "pässword"
    assert decrypt(encrypt(Secret("x"), KEY), Path("k"), KEY).reveal() == "x"


def test_a_join_bundle_opens() -> None:
    opened = open_bundle(BEFORE["bundle"], Secret("correct-horse"), WallMs(0), place="f")
    assert (opened.config, opened.files["cluster.key"].reveal()) == ({"a": 1}, "k")


async def test_a_wrapped_data_key_and_what_it_seals_open() -> None:
    store = KeptKeys(WrappedKey(**BEFORE["wrapped"]))
    keys = DataKeys(store, lambda: ClusterSecrets(SECRET))
    assert wrapping_of(SECRET).name == BEFORE["wrappingName"]
    assert (await keys.unseal(BEFORE["dataSealed"], "mfa of 7")).reveal() == "secret of ü"
    with pytest.raises(SealBroken):
        await keys.unseal(BEFORE["dataSealed"], "mfa of 8")
    assert (await keys.unseal(await keys.seal(Secret("new"), "here"), "here")).reveal() == "new"
    assert [key.kid for key in store.keys] == ["ab" * 16], "no other key was needed"


@pytest.mark.parametrize("kind", [Kind.SETTING, Kind.SESSION])
def test_a_copy_in_the_shared_cache_opens(kind: Kind) -> None:
    sealer, now = Sealer(SECRET, "cluster-001", "rppam:"), WallMs(1_795_000_000_000)
    before = BEFORE[f"cache {kind.value}"]
    place = sealer.place(CacheKey(kind, "ident"))
    assert place.name.decode() == before["name"]
    sealed = base64.b64decode(before["sealed"])
    assert sealer.open(place, sealed, now) == Copy(42, b"value")
    with pytest.raises(ValueError, match="not sealed for this place"):
        sealer.open(sealer.place(CacheKey(kind, "other")), sealed, now)


def test_keys_and_signatures_are_as_they_were() -> None:
    assert StoreMac("cluster-001", SECRET).tag("heartbeat", "text") == BEFORE["mac"]
    assert limit_key(SECRET, "cluster-001").hex() == BEFORE["limitKey"]
    assert limit_key(None, "cluster-001").hex() == BEFORE["limitKeyAlone"]
    authority = credentials._authority_key(SECRET)
    assert authority.private_numbers().private_value == int(BEFORE["authority"], 16)
    public = ec.derive_private_key(7, ec.SECP256R1()).public_key()
    assert proof_of([SECRET], "cluster-001", "node1", public).hex() == BEFORE["proof"]


def test_what_was_changed_moved_or_cut_is_refused_with_the_same_words() -> None:
    sealed = seal(KEY, b"text", b"here")
    assert unseal(KEY, sealed, b"here") == b"text"
    wrong = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    told = set()
    for one in (*wrong, sealed[:-1], sealed[:20], b""):
        with pytest.raises(SealRefused) as refused:
            unseal(KEY, one, b"here")
        told.add(str(refused.value))
    for key, bound, head in ((bytes(32), b"here", b"\x01"), (KEY, b"there", b"\x01"), (KEY, b"here", b"\x02")):
        with pytest.raises(SealRefused) as refused:
            unseal(key, sealed, bound, head=head)
        told.add(str(refused.value))
    assert len(told) == 1


def test_no_two_seals_are_alike_and_no_two_labels_give_one_key() -> None:
    assert seal(KEY, b"text", b"") != seal(KEY, b"text", b"")
    keys = {derived(SECRET, Label(salt, info)) for salt in (b"a", b"b") for info in (b"a", b"b")}
    assert len(keys) == 4
    assert framed(b"ab", b"c") != framed(b"a", b"bc")
