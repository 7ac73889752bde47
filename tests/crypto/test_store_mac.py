"""A tag names exactly one text, kind, cluster and key."""

import pytest

from rppam.crypto.store_mac import TAG_DIGITS, StoreMac
from rppam.kernel.secret import Secret

KEY, NEXT, STRANGE = (Secret(digit * 64) for digit in "abc")
TEXT = 'rppam1 held node1 9f0c1d2e3a4b5c6d 1795478400123 42 5b1e90aa "ü"'


def test_a_holder_of_the_key_believes_it() -> None:
    tag = StoreMac("one", KEY).tag("record", TEXT)
    assert len(tag) == TAG_DIGITS
    assert StoreMac("one", KEY).is_genuine("record", TEXT, tag)


@pytest.mark.parametrize(
    ("cluster", "key", "kind", "text"),
    [
        ("two", KEY, "record", TEXT),
        ("one", STRANGE, "record", TEXT),
        ("one", KEY, "heartbeat", TEXT),
        ("one", KEY, "record", TEXT + " "),
        ("one", KEY, "record", ""),
    ],
)
def test_nobody_believes_it_for_anything_else(cluster: str, key: Secret, kind: str, text: str) -> None:
    tag = StoreMac("one", KEY).tag("record", TEXT)
    assert not StoreMac(cluster, key).is_genuine(kind, text, tag)


@pytest.mark.parametrize("tag", ["", "0" * TAG_DIGITS, "ü", "\udcff"])
def test_no_made_up_tag_is_believed(tag: str) -> None:
    assert not StoreMac("one", KEY).is_genuine("record", TEXT, tag)


def test_while_the_key_is_changed_both_are_believed() -> None:
    mac = StoreMac("one", KEY, [NEXT])
    assert mac.is_genuine("record", TEXT, StoreMac("one", NEXT).tag("record", TEXT))
    assert mac.is_genuine("record", TEXT, StoreMac("one", KEY).tag("record", TEXT))
    mac.use(NEXT)
    assert mac.tag("record", TEXT) == StoreMac("one", NEXT).tag("record", TEXT)
    assert not mac.is_genuine("record", TEXT, StoreMac("one", KEY).tag("record", TEXT))
