"""``rppam audit verify --cosigner KEY``: whoever can forge a bundle can put another cosigner's key into it."""

import base64
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rppam.audit.cosigners import Cosigned
from rppam.db.database import Database
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.checkpoint import COSIGNATURE, Signer, cosignature, parse_checkpoint
from rppam.ledger.cosigner import Cosigner
from rppam.ledger.store import SqlLedger
from tests.audit.test_command import config, watched  # noqa: F401 - fixtures
from tests.audit.test_watch import Node
from tests.support import prefork

pytestmark = [pytest.mark.integration, pytest.mark.server]
rppam = partial(prefork.run, "audit")
NAMES = ("rppam/test/node1", "rppam/test/node2")


@pytest.fixture
async def cosigned(config: Path, database: Database, watched: Node, tmp_path: Path) -> list[Cosigned]:  # noqa: F811
    """A ledger of which node1 has cosigned all, and node2 what was there before."""
    (tmp_path / "node2").mkdir()
    second = Node(database, tmp_path / "node2")
    second.watch._cosigner = Cosigner(tmp_path / "node2", NAMES[1], SystemClock())
    await second.watch.check()
    await watched.act(3)
    await watched.watch.check()
    found = await watched.cosigners.all()
    assert [(one.name, one.size) for one in found] == [(NAMES[0], 29), (NAMES[1], 23)]
    return found


@pytest.fixture
async def bundle(config: Path, cosigned: list[Cosigned], tmp_path: Path) -> Path:  # noqa: F811
    path = tmp_path / "ledger.jsonl"
    assert rppam("export", "--config", config, "--bundle", path).returncode == 0
    return path


def trusting(*keys: str) -> list[str]:
    return [word for key in keys for word in ("--cosigner", key)]


async def test_those_that_are_trusted_have_to_have_cosigned_and_no_others_count(
    config: Path,  # noqa: F811
    cosigned: list[Cosigned],
    bundle: Path,
) -> None:
    first, second = (one.key for one in cosigned)
    for what in ((bundle,), ("--config", config)):
        for keys, expected in (
            ((), {NAMES[0]: 29, NAMES[1]: 23}),
            ((second,), {NAMES[1]: 23}),
            ((first, second), {NAMES[0]: 29, NAMES[1]: 23}),
        ):
            judged = rppam("verify", *what, *trusting(*keys), "--json")
            assert (judged.returncode, json.loads(judged.stdout)["cosigned"]) == (0, expected), judged.stderr
    said = rppam("verify", bundle, *trusting(second)).stdout
    assert "The first 23 are cosigned by rppam/test/node2, whose key is trusted." in said
    assert "node1" not in said


Entry = dict[str, Any]


def rewrite(bundle: Path, change: Callable[[list[Entry]], object]) -> None:
    """Change what a bundle says of cosigners."""
    head, *lines = bundle.read_text("utf-8").splitlines(keepends=True)
    told = json.loads(head)
    change(told["cosigners"])
    bundle.write_text("".join([json.dumps(told) + "\n", *lines]), "utf-8")


async def test_a_bundle_that_was_cosigned_with_other_keys_is_told_from_one_of_the_cluster(
    database: Database, cosigned: list[Cosigned], bundle: Path
) -> None:
    """The forger has made a key of the cosigner's name, and signs whatever the forged ledger says with it."""
    newest = await SqlLedger(database).newest()
    assert newest is not None
    forger = Signer(NAMES[1], Ed25519PrivateKey.generate())
    line = cosignature(parse_checkpoint(newest.note)[1], forger, 1_772_366_400)
    forged = {"name": NAMES[1], "key": forger.verifier().text(COSIGNATURE), "line": line, "size": newest.size}
    first, second = (one.key for one in cosigned)
    rewrite(bundle, lambda told: told.append(forged))
    judged = rppam("verify", bundle, "--json")
    assert json.loads(judged.stdout)["cosigned"] == {NAMES[0]: 29, NAMES[1]: newest.size}, "nothing in the bundle tells"
    judged = rppam("verify", bundle, *trusting(first, second), "--json")
    assert json.loads(judged.stdout)["cosigned"] == {NAMES[0]: 29, NAMES[1]: 23}, (
        "what the forger signed is not counted"
    )
    rewrite(bundle, lambda told: told.pop(1))
    judged = rppam("verify", bundle, *trusting(first, second), "--json")
    assert judged.returncode == 1, judged.stdout
    assert json.loads(judged.stdout) == {
        "whole": False,
        "place": f"the cosignature of {NAMES[1]}",
        "sentence": "it is by another key than the one that is trusted",
    }
    rewrite(bundle, lambda told: told.pop(1))
    said = rppam("verify", bundle, *trusting(second))
    assert (said.returncode, said.stdout) == (1, "")
    assert f"tampered with, at the cosignature of {NAMES[1]}: there is none" in said.stderr
    assert rppam("verify", bundle, *trusting(first)).returncode == 0


async def test_a_key_that_was_mistyped_is_said_before_anything_is_read(
    cosigned: list[Cosigned], tmp_path: Path
) -> None:
    key, other = cosigned[0].key, base64.b64encode(bytes(33)).decode()
    for wrong in ("", "node1", key[:-4], key.replace("node1", "node2"), f"{NAMES[0]}+00000000+{other}"):
        done = rppam("verify", tmp_path / "none", *trusting(key, wrong))
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert "Invalid value for '--cosigner'" in done.stderr
