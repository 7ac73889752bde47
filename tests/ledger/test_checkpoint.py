"""Signed notes: what C2SP's tlog-checkpoint and tlog-cosignature say, and nothing that only looks like it."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rppam.ledger.checkpoint import (
    Checkpoint,
    CheckpointRefused,
    Signer,
    cosignature,
    cosigned_at,
    parse_checkpoint,
    read_checkpoint,
    signed,
    verifier_of,
)

ROOT = bytes(range(32))
POINT = Checkpoint("rppam/prod", 42, ROOT)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SIGNER = Signer("rppam/prod", KEY)
WITNESS = Signer("node2", Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32))


def test_a_note_reads_as_the_format_says_and_is_read_back() -> None:
    note = signed(POINT, SIGNER)
    lines = note.split("\n")
    assert lines[:4] == ["rppam/prod", "42", base64.b64encode(ROOT).decode(), ""]
    assert lines[4].startswith("\u2014 rppam/prod ")
    assert len(base64.b64decode(lines[4].rpartition(" ")[2])) == 4 + 64
    assert read_checkpoint(note, SIGNER.verifier()) == POINT


def test_a_key_is_one_word_and_read_back() -> None:
    text = SIGNER.verifier().text()
    assert read_checkpoint(signed(POINT, SIGNER), verifier_of(text)) == POINT
    with pytest.raises(CheckpointRefused):
        verifier_of(text.replace("prod", "test"))
    for junk in ("", "a", "a+b+c", text[:-4]):
        with pytest.raises(CheckpointRefused):
            verifier_of(junk)


@pytest.mark.parametrize(("old", "new"), [("42", "43"), ("42", "042"), ("prod\n", "test\n"), ("AAEC", "AAED")])
def test_a_changed_note_is_refused(old: str, new: str) -> None:
    note = signed(POINT, SIGNER)
    assert old in note
    with pytest.raises(CheckpointRefused):
        read_checkpoint(note.replace(old, new, 1), SIGNER.verifier())


def test_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(CheckpointRefused, match="has not signed"):
        read_checkpoint(signed(POINT, Signer("rppam/prod", WITNESS.key)), SIGNER.verifier())


def test_a_cosignature_stands_beside_and_says_when() -> None:
    note = signed(POINT, SIGNER)
    both = note + cosignature(POINT.body(), WITNESS, 1_700_000_000)
    assert read_checkpoint(both, SIGNER.verifier()) == POINT
    assert cosigned_at(both, WITNESS.verifier()) == 1_700_000_000
    with pytest.raises(CheckpointRefused):
        cosigned_at(note, WITNESS.verifier())
    with pytest.raises(CheckpointRefused):
        cosigned_at(note.replace("42", "41") + cosignature(POINT.body(), WITNESS, 5), WITNESS.verifier())
    with pytest.raises(CheckpointRefused):
        read_checkpoint(note.partition("\n\n")[0] + "\n\n" + cosignature(POINT.body(), SIGNER, 5), SIGNER.verifier())


@pytest.mark.parametrize("junk", ["", "\n\n", "a\nb\nc\n\n", "rppam\n-1\nAAAA\n\n", "rppam\n1\nAAAA\n\n", "a\n1\n\n"])
def test_what_is_no_note_is_refused(junk: str) -> None:
    with pytest.raises(CheckpointRefused):
        parse_checkpoint(junk)
