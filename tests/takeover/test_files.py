"""What an installation of the release before has on its disks is read by this one."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rppam.app.main import rppam as program
from rppam.cluster.consensus.messages import PersistedVote
from rppam.cluster.driver.operator_state import OperatorStateFile
from rppam.cluster.history.recorder import History
from rppam.cluster.store.home import Home
from rppam.cluster.store.vote_file import FilePromises
from tests.takeover.taken_over import CLUSTER, POSTGRESQL, place

MEMBERS = [CLUSTER / "node1", CLUSTER / "node2", CLUSTER / "witness1", POSTGRESQL / "node1"]
NODES = [member for member in MEMBERS if member.name != "witness1"]
HERE, ELSEWHERE = Home("1" * 16, frozenset({"2" * 16})), Home("3" * 16, frozenset({"4" * 16}))


def called(member: Path) -> str:
    return f"{member.parent.name}-{member.name}"


def rppam(*words: str) -> Result:
    return CliRunner().invoke(program, words)


@pytest.mark.parametrize("member", MEMBERS, ids=called)
def test_the_config_is_accepted_and_its_secrets_open(member: Path, tmp_path: Path) -> None:
    result = rppam("config", "check", str(place(member, tmp_path)), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["problems"] == []


@pytest.mark.parametrize("member", NODES, ids=called)
def test_a_secret_of_the_config_needs_the_key_of_then(member: Path, tmp_path: Path) -> None:
    config = place(member, tmp_path)
    (config.parent / "keys" / "config.key").unlink()
    assert rppam("config", "check", str(config)).exit_code == 78


@pytest.mark.parametrize("member", NODES, ids=called)
def test_the_licence_verifies(member: Path, tmp_path: Path) -> None:
    config = place(member, tmp_path)
    licence = config.parent / "license.jwt"
    result = rppam("license", "verify", str(licence), "--config", str(config))
    assert result.exit_code == 0, result.output
    header, claims, signature = licence.read_text().strip().split(".")
    licence.write_text(".".join((header, claims[:-2] + ("AA" if claims[-2:] != "AA" else "BB"), signature)))
    forged = rppam("license", "verify", str(licence), "--config", str(config))
    assert "changed after it was signed" in str(forged.exception)


@pytest.mark.parametrize("member", MEMBERS, ids=called)
def test_the_promise_file_becomes_this_hosts_own(member: Path, tmp_path: Path) -> None:
    path = tmp_path / "promise"
    shutil.copyfile(member / "promise", path)
    assert path.read_text().startswith("rppam-promise1\n")
    promises = FilePromises(path, HERE)
    kept, flaw = promises.begin()
    assert (flaw, promises.strange, promises.is_taken_over) == ("", "", True)
    assert kept is not None
    assert kept.highest == kept.candidacy.epoch > 0
    assert kept.membership is not None
    assert f"electorate {kept.membership.encode()}\n" in (member / "promise").read_text()
    assert path.read_text().startswith("rppam-promise2\n")
    again = FilePromises(path, HERE)
    assert (again.load(), again.strange, again.is_taken_over) == (kept, "", False)
    refuses_elsewhere(path, kept)


def refuses_elsewhere(path: Path, kept: PersistedVote) -> None:
    """From then on another host needs an operator's word: ``rppam cluster adopt``."""
    moved = FilePromises(path, ELSEWHERE)
    assert moved.load() == kept
    assert "cluster adopt" in moved.strange
    moved.adopt(kept)
    again = FilePromises(path, ELSEWHERE)
    assert (again.load(), again.strange) == (kept, "")


def test_orders_hold(tmp_path: Path) -> None:
    orders = OperatorStateFile(CLUSTER / "node2" / "orders").load()
    assert (orders.maintenance, orders.maintenance_by, orders.pause.is_on) == (True, "admin", False)
    assert OperatorStateFile(tmp_path / "orders").load().maintenance is False


@pytest.mark.parametrize("member", MEMBERS, ids=called)
async def test_the_history_goes_on(member: Path) -> None:
    path = member / "history.jsonl"
    past = await History(path).last(1_000)
    assert past.unreadable == 0
    assert len(past.entries) == len(path.read_text().splitlines()) > 0
