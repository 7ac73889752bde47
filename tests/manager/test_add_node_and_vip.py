"""The HA Manager's words for a newcomer and for the virtual address, over a served node."""

import asyncio
import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from rppam.access.accounts.model import AccountRole
from rppam.app.ha_manager import rppam_ha_manager
from rppam.cluster.consensus.heartbeat import Role
from rppam.kernel.instant import WallMs
from rppam.licence.model import Licence, Tier
from tests.support.served import Served, member

pytestmark = pytest.mark.integration


async def typed(served: Served, *words: str) -> Result:
    token = served.bearer(AccountRole.ADMIN)["Authorization"].removeprefix("Bearer ")
    environment = {"RPPAM_TOKEN": token, "RPPAM_URL": str(served.http.base_url)}
    return await asyncio.to_thread(
        CliRunner().invoke, rppam_ha_manager, list(words), env=environment, standalone_mode=False
    )


def licensed(served: Served) -> None:
    now = served.clock.wall_ms()
    served.licence = Licence("L1", "Example", Tier.MSP, 9, None, None, (), now, WallMs(now + 90 * 86_400_000), "key")


async def test_a_place_for_a_standby_is_asked_for_and_the_steps_are_shown(served: Served) -> None:
    licensed(served)
    shown = await typed(served, "add-node", "--host", "10.0.0.2", "--port", "7100", "--role", "standby")
    assert shown.return_value == 0, shown.output
    assert "--node-name node-10-0-0-2 --host 10.0.0.2 --port 7100" in shown.output
    assert "rppam init --bundle join.bundle --bundle-for node-10-0-0-2 " in shown.output


async def test_a_witness_needs_no_seat(served: Served) -> None:
    told = await typed(served, "add-node", "--host", "w1.example.com", "--role", "witness", "--json")
    assert told.return_value == 0, told.output
    found = json.loads(told.stdout)
    assert (found["nodeName"], found["role"], found["joined"]) == ("w1", "witness", False)
    assert any("--witness --bundle join.bundle --bundle-for w1 " in one for one in found["next"])
    assert any("--witness --join" in one and "--port 5201" in one for one in found["next"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--host", "10.0.0.2", "--name", "node2"), "a member named node2 belongs to cluster cluster-001 already"),
        (("--host", "10.0.0.2", "--name", "node9", "--wait", "1"), "node9 has not joined within 1 s: it was not seen"),
    ],
)
async def test_what_cannot_join_is_said(served: Served, words: tuple[str, ...], why: str) -> None:
    licensed(served)
    shown = await typed(served, "add-node", *words)
    assert shown.return_value == 1, shown.output
    assert why in shown.stderr


async def test_a_licence_without_a_seat_refuses(served: Served) -> None:
    shown = await typed(served, "add-node", "--host", "10.0.0.9")
    assert shown.return_value != 0
    assert "RPPAM-4101" in shown.stderr


@pytest.mark.parametrize("words", [("--host", "a b"), ("--host", "x", "--name", "Bad Name"), ()])
async def test_wrong_usage_is_refused(served: Served, words: tuple[str, ...]) -> None:
    shown = await typed(served, "add-node", *words)
    assert isinstance(shown.exception, click.UsageError)


async def test_a_node_that_has_joined_counts(served: Served) -> None:
    licensed(served)

    def arrive() -> None:
        members = (*served.node.seen.members, member("node9", Role.STANDBY, has_vote=True))
        served.node.set(members=members)

    asyncio.get_running_loop().call_later(1.0, arrive)
    shown = await typed(served, "add-node", "--host", "10.0.0.9", "--name", "node9", "--wait", "20")
    assert shown.return_value == 0, shown.output
    assert "node9 has joined: it is healthy, and its vote counts" in shown.output


@pytest.mark.parametrize(
    ("address", "here", "code", "said"),
    [
        (None, (), 0, "there is no virtual address"),
        ("10.0.0.100", ("node1",), 0, "10.0.0.100 is on node1; node1 leads"),
        ("10.0.0.100", ("node2",), 1, "10.0.0.100 is on node2; node1 leads"),
        ("10.0.0.100", (), 1, "10.0.0.100 is on no node; node1 leads"),
    ],
)
async def test_the_address_is_where_the_leader_is_or_it_is_said(
    served: Served, address: str | None, here: tuple[str, ...], code: int, said: str
) -> None:
    members: tuple[Any, ...] = tuple(replace(one, has_virtual_ip=one.node in here) for one in served.node.seen.members)
    served.node.set(virtual_ip=address, members=members)
    shown = await typed(served, "vip")
    assert (shown.return_value, said in shown.output) == (code, True), shown.output
