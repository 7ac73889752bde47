"""The user's own agent at the target: only where the policy takes it, several at once, and gone with the connection."""

import asyncio
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.places import Place
from tests.gateway.test_register import recorded

pytestmark = [pytest.mark.integration]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A real ssh-agent with one key, as the environment of who has it."""
    place, key = tmp_path / "own-agent", str(tmp_path / "own")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.DEVNULL)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", str(tmp_path / "own")], check=True
    )
    environment = {**os.environ, "SSH_AUTH_SOCK": str(place)}
    for _ in range(100):
        done = subprocess.run(["ssh-add", "-q", key], env=environment, check=False, capture_output=True)
        if done.returncode == 0:
            break
    yield {"SSH_AUTH_SOCK": str(place)}
    process.kill()
    process.wait()


def allowed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = place.gateway.gate.policy._replace(agent_forward=True)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: changed))


async def test_off_unless_the_policy_takes_it(place: Place, agent: dict[str, str]) -> None:
    env = {**place.environment("correct horse battery"), **agent}
    ended = await place.ssh("echo in $SSH_AUTH_SOCK", options=("-A",), env=env)
    assert (ended.code, ended.out) == (0, b"in\n"), ended


async def test_the_target_has_it_sign_and_three_at_once_do(
    place: Place, agent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(place, monkeypatch)
    env = {**place.environment("correct horse battery"), **agent}
    lists = "ssh-add -l & ssh-add -l & ssh-add -l & wait"
    ended = await place.ssh(lists, options=("-A",), env=env)
    assert ended.code == 0, ended
    assert ended.out.count(b"laptop") == 3, ended
    without = await place.ssh("ssh-add -l", env=env)
    assert b"laptop" not in without.out, "a session that did not ask for it has none"
    channels = [one["details"]["kind"] for one in await recorded(place, "access.channel")]
    assert channels.count("agent") == 3


async def test_a_terminal_has_it_and_is_not_kept(
    place: Place, agent: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(place, monkeypatch)
    env = {**place.environment("correct horse battery"), **agent}
    ended = await place.ssh(options=("-A", "-tt"), env=env, given=b"ssh-add -l\nexit\n")
    assert b"laptop" in ended.out, ended
    assert place.target.held == []


async def test_it_goes_with_the_connection(
    place: Place, agent: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allowed(place, monkeypatch)
    env = {**place.environment("correct horse battery"), **agent}
    go, seen = tmp_path / "go", tmp_path / "seen"
    later = f"while [ ! -e {go} ]; do sleep 0.05; done; ssh-add -l; echo over"
    started = f"setsid sh -c {shlex.quote(later)} > {seen} 2>&1 < /dev/null & ssh-add -l"
    ended = await place.ssh(started, options=("-A",), env=env)
    assert b"laptop" in ended.out, ended
    go.touch()
    for _ in range(200):
        if "over" in seen.read_text():
            break
        await asyncio.sleep(0.05)
    assert "laptop" not in seen.read_text()
    assert "over" in seen.read_text()
