"""A vault that is opened by shares: sealed at the start, opened on one node, and by that one on the others."""

import base64
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.kernel.errors import Exit
from rppam.vault.errors import UnsealPlaceWrong
from rppam.vault.unsealed import file_system_of, forget, keep
from tests.support import prefork
from tests.support.lab import CALM, Lab, LabNode, eventually
from tests.support.lab_fixtures import MakeLab

MEMORY = Path("/dev/shm")
in_memory = pytest.mark.skipif(file_system_of(MEMORY) != "tmpfs", reason="no file system in memory here")


@pytest.fixture
def place() -> Iterator[Path]:
    folder = MEMORY / f"rppam-test-{secrets.token_hex(4)}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_what_is_not_in_memory_is_refused(tmp_path: Path) -> None:
    if file_system_of(tmp_path) in {"tmpfs", "ramfs"}:
        pytest.skip("everything is in memory here")
    with pytest.raises(UnsealPlaceWrong, match="expected a file system in memory"):
        keep(tmp_path / "vault.key", bytes(32), tmp_path)
    assert list(tmp_path.iterdir()) == []


@in_memory
def test_it_lies_there_closed_to_others_until_it_is_sealed(place: Path, tmp_path: Path) -> None:
    key = secrets.token_bytes(32)
    keep(place / "vault.key", key, tmp_path)
    assert base64.b64decode((place / "vault.key").read_text()) == key
    assert (place / "vault.key").stat().st_mode & 0o777 == 0o600
    assert [one.name for one in place.iterdir()] == ["vault.key"]
    assert forget(place / "vault.key")
    assert not forget(place / "vault.key")


def put(lab: Lab, node: LabNode, name: str) -> tuple[int, str]:
    body = {"folder": "lab", "name": name, "type": "note", "fields": {"text": "a secret"}}
    asked = node.ask("/api/v1/vault/entries", token=lab.token, method="POST", send=body, timeout_s=10)
    return asked.status, str(asked.body.get("code", ""))


def unseal(node: LabNode, *shares: str) -> subprocess.CompletedProcess[str]:
    return prefork.run("vault", "unseal", "--config", str(node.folder / "rppam.config"), input_="\n".join(shares))


@in_memory
@pytest.mark.integration
@pytest.mark.server
@pytest.mark.slow
def test_one_ceremony_opens_a_cluster_and_a_restarted_host_waits_for_nobody(
    make_lab: MakeLab, place: Path, tmp_path: Path
) -> None:
    made = prefork.run("vault", "ceremony", "--shares", "3", "--threshold", "2", "--out", str(tmp_path / "shares"))
    assert made.returncode == Exit.DONE, made.stderr
    shares = [(tmp_path / "shares" / f"share-{number}").read_text().strip() for number in (1, 2, 3)]
    lab = make_lab(times=CALM, policy="majority")
    for node in lab.nodes:
        key = place / node.name / "vault.key"
        node.config["vault"] = {"keySource": "shares", "unsealedPath": str(key), "revealFactor": "none"}
    lab.start()
    lab.wait_for_leader()
    first, *others = lab.nodes
    assert put(lab, first, "one") == (503, "RPPAM-8425"), "sealed at the start"
    few = unseal(first, shares[0])
    assert few.returncode != 0
    assert "RPPAM-8426" in few.stderr
    assert shares[0] not in few.stderr
    done = unseal(first, shares[2], shares[0])
    assert done.returncode == Exit.DONE, done.stderr
    for number, node in enumerate(others):
        eventually(
            lambda node=node, number=number: put(lab, node, f"of {number}")[0] == 201,  # type: ignore[misc]
            within_s=15,
            what="an open vault on a node that nobody has opened",
            say=lab.logs,
        )
    lab.wait_until_healthy()
    (place / others[0].name / "vault.key").unlink()  # as a reboot does
    eventually((place / others[0].name / "vault.key").exists, within_s=15, what="the key from another", say=lab.logs)
    events = first.ask("/api/v1/audit/events?action=vault.unseal", token=lab.token, timeout_s=10).body["events"]
    assert {one["details"]["by"] for one in events} >= {"shares", first.name}
