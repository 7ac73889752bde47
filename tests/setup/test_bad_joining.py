"""A join bundle that should make no member: too late, too early, of another cluster, or used by another host before.

Each is refused in a sentence, before anything is written. What only shows on the network is elsewhere: a name that a
live node has in ``tests/app/test_cluster.py``, another release and another cluster's key in ``tests/cluster/link``, an
address that nobody reaches in ``tests/doctor``.
"""

import json
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.setup.bundle import seal, unseal
from tests.setup.test_init_command import REDIS, files, rppam

pytestmark = pytest.mark.integration

HOUR_MS = 3_600_000


class Sealed(NamedTuple):
    file: Path
    passphrase: str

    def joined(self, folder: Path, name: str = "node2", *more: str) -> tuple[int, str]:
        words = ("init", "--join", str(self.file), "--dir", str(folder), "--node-name", name, *more)
        done = rppam(*words, RPPAM_BUNDLE_PASSPHRASE=self.passphrase)
        return done.returncode, done.stdout + done.stderr


def cluster(folder: Path, *more: str) -> Sealed:
    """A first node's files, and a bundle of them."""
    file = folder / "join.bundle"
    made = rppam(
        "init", "--dir", str(folder), "--node-name", "node1", "--redis", REDIS, "--bundle", str(file), "--json", *more
    )
    assert made.returncode == 0, made.stderr
    return Sealed(file, json.loads(made.stdout)["passphrase"])


@pytest.mark.parametrize(
    ("made_ms_ago", "told"),
    [
        (25 * HOUR_MS, "join.bundle: it could be opened until 20"),
        (-HOUR_MS, ": one of the two clocks is off"),
    ],
    ids=["expired", "clock far off"],
)
def test_a_bundle_opens_in_its_time_alone_by_the_clock_of_the_host_that_joins(
    tmp_path: Path, made_ms_ago: int, told: str
) -> None:
    bundle = cluster(tmp_path / "a")
    secret, now = Secret(bundle.passphrase), WallMs(time.time_ns() // 1_000_000)
    content = unseal(bundle.file.read_text(), secret, now, place="b")
    bundle.file.write_text(seal(content, secret, WallMs(now - made_ms_ago)))
    code, said = bundle.joined(tmp_path / "b")
    assert code == 2, said
    assert told in said
    assert "this host's clock says 20" in said
    assert "Set the clock (chronyc tracking), or make a new bundle on a node with: rppam init --bundle FILE." in said
    assert not (tmp_path / "b").exists()


def test_a_host_of_one_cluster_is_not_made_one_of_another_by_the_way(tmp_path: Path) -> None:
    first, other, host = cluster(tmp_path / "a"), cluster(tmp_path / "c"), tmp_path / "b"
    assert first.joined(host)[0] == 0
    before = files(host)
    code, said = other.joined(host)
    assert code == 2, said
    assert str(host) in said
    assert files(host) == before, "its keys are those of its cluster still"


def test_a_bundle_that_was_used_changes_nothing_when_it_is_used_again(tmp_path: Path) -> None:
    bundle, host = cluster(tmp_path / "a"), tmp_path / "b"
    assert bundle.joined(host)[0] == 0
    before = files(host)
    code, said = bundle.joined(host, "node2", "--json")
    assert (code, json.loads(said)["written"]) == (0, []), said
    code, said = bundle.joined(host, "node3")
    assert code == 2, said
    assert f"{host / 'rppam.config'}" in said
    assert files(host) == before


@pytest.mark.parametrize("witness", [(), ("--witness",)], ids=["node", "witness"])
def test_a_bundle_for_one_host_makes_no_member_of_another_name(tmp_path: Path, witness: tuple[str, ...]) -> None:
    bundle = cluster(tmp_path / "a", "--bundle-for", "node2")
    if witness:
        words = ("init", "--witness", "--bundle", str(bundle.file), "--dir", str(tmp_path / "a"), "--force", "--json")
        made = rppam(*words, "--bundle-for", "node2")
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["onlyFor"] == "node2"
        bundle = Sealed(bundle.file, json.loads(made.stdout)["passphrase"])
    address = ("--host", "10.0.0.9") if witness else ()
    assert bundle.joined(tmp_path / "b", "node2", *witness, *address)[0] == 0
    code, said = bundle.joined(tmp_path / "c", "node3", *witness, *address)
    assert code == 2, said
    assert "RPPAM-7106" in said
    assert "--node-name: 'node3' is not whom the bundle is for, which is 'node2'" in said
    assert "for another host: rppam init --bundle FILE --bundle-for NAME." in said
    assert not (tmp_path / "c").exists()


def test_a_bundle_for_one_host_needs_no_name_there_and_is_shown_with_it(tmp_path: Path) -> None:
    folder, opens = tmp_path / "a", tmp_path / "join.passphrase"
    cluster(folder)
    file = tmp_path / "own.bundle"
    words = ("init", "--dir", str(folder), "--bundle", str(file), "--passphrase-file", str(opens))
    shown = rppam(*words, "--bundle-for", "node7")
    assert "rppam init --join own.bundle --node-name node7" in shown.stdout, shown.stderr
    made = rppam("init", "--join", str(file), "--passphrase-file", str(opens), "--dir", str(tmp_path / "b"))
    assert made.returncode == 0, made.stderr
    assert "node7 is set up" in made.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--join", "join.bundle", "--bundle-for", "node2"), "--bundle-for goes with --bundle"),
        (("--bundle", "other.bundle", "--bundle-for", "Bad Name"), "--bundle-for: expected 1 to 63 of a-z"),
    ],
)
def test_for_whom_a_bundle_is_has_to_be_a_name_and_to_go_with_one(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    place = [str(tmp_path / word) if word.endswith(".bundle") else word for word in words]
    (tmp_path / "join.bundle").touch()
    done = rppam("init", "--dir", str(tmp_path), *place)
    assert done.returncode == 2
    assert told in done.stderr
