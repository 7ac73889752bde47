"""Jump hosts: ``ssh -J`` through the gateway, and to it through another, with OpenSSH's own clients and servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.places import HOST, Ended, Place, Sshd, sshd
from tests.gateway.test_register import recorded

pytestmark = [pytest.mark.integration]


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[Sshd]:
    """A host that is reached through another."""
    with sshd(tmp_path / "inner") as one:
        yield one


@pytest.fixture
def allowed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = place.gateway.gate.policy._replace(local_forward=True)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))


def config(place: Place, inner: Sshd, user: str = "admin+web1") -> str:
    """A user's ``ssh_config``: ``inner`` behind the gateway, and the gateway behind ``inner``."""
    every = "  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel INFO\n  ControlPath none\n"
    gateway = f"  HostName {HOST}\n  Port {place.port}\n  User {user}\n  PubkeyAuthentication no\n"
    own = f"  HostName {HOST}\n  Port {inner.port}\n  User {inner.user}\n  IdentityFile {inner.folder / 'user'}\n"
    own += "  IdentitiesOnly yes\n  PasswordAuthentication no\n"
    file = place.folder / "ssh_config"
    file.write_text(
        f"Host gateway\n{gateway}Host inner\n{own}  ProxyJump gateway\nHost hop\n{own}"
        f"Host behind\n{gateway}  ProxyJump hop\nHost *\n  NumberOfPasswordPrompts 1\n{every}"
    )
    return str(file)


async def ssh(place: Place, inner: Sshd, *words: str, user: str = "admin+web1") -> Ended:
    return await place.run("ssh", "-F", config(place, inner, user), *words)


@pytest.mark.usefixtures("allowed")
async def test_a_host_behind_the_gateway_is_reached_through_it(place: Place, inner: Sshd, tmp_path: Path) -> None:
    file, there, back = config(place, inner), tmp_path / "there", tmp_path / "back"
    assert (await ssh(place, inner, "inner", "echo $SSH_CONNECTION")).out.split()[3:] == [str(inner.port).encode()]
    assert (await place.run("ssh", "-F", file, "-J", "gateway", "hop", "exit 7", given=None)).code == 7
    (tmp_path / "source").write_bytes(bytes(range(256)) * 4000)
    for argv in (
        ["scp", "-F", file, str(tmp_path / "source"), f"inner:{there}"],
        ["scp", "-F", file, f"inner:{there}", str(back)],
    ):
        ended = await place.run(*argv)
        assert ended.code == 0, ended
    assert back.read_bytes() == (tmp_path / "source").read_bytes()
    carried = [one["details"] for one in await recorded(place, "access.channel")]
    assert {one["to"] for one in carried} == {f"{HOST} port {inner.port}"}
    assert len(carried) == 4


async def test_an_unauthorised_jump_is_refused_and_leaves_no_file(
    place: Place, inner: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "source").write_text("x")
    there = tmp_path / "there"

    async def copied(user: str = "admin+web1") -> Ended:
        return await place.run("scp", "-F", config(place, inner, user), str(tmp_path / "source"), f"inner:{there}")

    refused = await copied()  # the policy forwards nothing
    assert refused.code != 0
    assert "administratively prohibited" in refused.err
    policy = place.gateway.gate.policy._replace(local_forward=True)
    monkeypatch.setattr(type(place.gateway.gate), "policy", property(lambda _: policy))
    assert (await copied("ursula+web1")).code != 0, "she may not connect to web1"
    assert (await copied("admin+nowhere")).code != 0
    assert not there.exists()
    refusals = [one["details"]["code"] for one in await recorded(place, "access.refuse")]
    assert "RPPAM-8601" in refusals, refusals
    assert (await copied()).code == 0
    assert there.read_text() == "x"


async def test_the_gateway_is_reached_through_a_jump_host(place: Place, inner: Sshd, tmp_path: Path) -> None:
    fine = await ssh(place, inner, "behind", "echo in; exit 3")
    assert (fine.code, fine.out) == (3, b"in\n"), fine
    (tmp_path / "source").write_bytes(bytes(100_000))
    copied = await place.run("scp", "-F", config(place, inner), str(tmp_path / "source"), f"behind:{tmp_path}/there")
    assert copied.code == 0, copied
    assert (tmp_path / "there").read_bytes() == bytes(100_000)
