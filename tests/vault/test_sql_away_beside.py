"""SQL goes away at each commit of what stands around the vault: targets, their keys and accounts, policies, groups,
passkeys. As in :mod:`tests.vault.test_sql_away`, which says what holds then.
"""

import asyncio
import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rppam.access.passkeys.store import Passkey, SqlPasskeys
from rppam.db.errors import DatabaseError
from rppam.kernel.instant import WallMs
from rppam.requests.model import Group, Level, Policy, Rules
from rppam.requests.policies_store import SqlPolicies
from rppam.targets.model import Resource, ResourceKind, TargetAccount, read_host_key
from rppam.targets.store import SqlResources, SqlTargetAccounts
from tests.support.sql_cut import Cut, When
from tests.targets.test_model import ED25519
from tests.vault.test_sql_away import Act, Node, Step, between, cut, nodes, walked, world  # noqa: F401 - fixtures among them

pytestmark = [pytest.mark.integration, pytest.mark.server]
STEPS: list[Step] = []
Prepare = Callable[[Node], Awaitable[Act]]


def step(prepare: Prepare) -> Prepare:
    STEPS.append(Step(prepare.__name__, prepare))
    return prepare


def machine(**more: Any) -> Resource:
    name = f"host-{uuid.uuid4()}"
    return Resource(str(uuid.uuid4()), name, ResourceKind.SSH, "10.0.0.1", 22, tags=("a", "b"))._replace(**more)


async def kept(node: Node) -> Resource:
    return await SqlResources(node.database).create(machine())


async def account(node: Node) -> TargetAccount:
    new = TargetAccount(str(uuid.uuid4()), (await kept(node)).id, "", "root", tags=("a",))
    return await SqlTargetAccounts(node.database).create(new)


async def group(node: Node) -> Group:
    ident = str(uuid.uuid4())
    return await SqlPolicies(node.database).create_group(Group(ident, f"g {ident}", ("id-anna", "id-bert"), 1))


async def policy(node: Node) -> Policy:
    ident = str(uuid.uuid4())
    new = Policy(ident, f"p {ident}", Level.GROUP, (await group(node)).id, 0, Rules(), 1)
    return await SqlPolicies(node.database).create(new)


def passkey() -> Passkey:
    return Passkey(secrets.token_urlsafe(16), "id-anna", "blue", "localhost", b"key", 0, WallMs(0), None)


@step
async def create_target(_node: Node) -> Act:
    new = machine()
    return lambda node: SqlResources(node.database).create(new)


@step
async def change_target(node: Node) -> Act:
    before = await kept(node)
    after = before._replace(description="another", tags=("b", "c"))
    return lambda node: SqlResources(node.database).change(after, [before.revision])


@step
async def remove_target(node: Node) -> Act:
    before = await kept(node)
    return lambda node: SqlResources(node.database).remove(before.id)


@step
async def pin(node: Node) -> Act:
    before = await kept(node)
    return lambda node: SqlResources(node.database).pin(before.id, read_host_key(ED25519))


@step
async def pin_at_first_contact(node: Node) -> Act:
    before = await kept(node)
    return lambda node: SqlResources(node.database).pin(before.id, read_host_key(ED25519), first=True)


@step
async def unpin(node: Node) -> Act:
    before = await kept(node)
    key = await SqlResources(node.database).pin(before.id, read_host_key(ED25519))
    return lambda node: SqlResources(node.database).unpin(before.id, key.id)


@step
async def create_account(node: Node) -> Act:
    new = TargetAccount(str(uuid.uuid4()), (await kept(node)).id, "", "root", tags=("a",))
    return lambda node: SqlTargetAccounts(node.database).create(new)


@step
async def change_account(node: Node) -> Act:
    before = await account(node)
    after = before._replace(description="another", tags=())
    return lambda node: SqlTargetAccounts(node.database).change(after, [before.revision])


@step
async def remove_account(node: Node) -> Act:
    before = await account(node)
    return lambda node: SqlTargetAccounts(node.database).remove(before.id)


@step
async def create_policy(node: Node) -> Act:
    ident = str(uuid.uuid4())
    new = Policy(ident, f"p {ident}", Level.GROUP, (await group(node)).id, 0, Rules(), 1)
    return lambda node: SqlPolicies(node.database).create(new)


@step
async def change_policy(node: Node) -> Act:
    before = await policy(node)
    return lambda node: SqlPolicies(node.database).change(before._replace(priority=7), before.revision)


@step
async def remove_policy(node: Node) -> Act:
    before = await policy(node)
    return lambda node: SqlPolicies(node.database).remove(before.id)


@step
async def create_group(_node: Node) -> Act:
    ident = str(uuid.uuid4())
    return lambda node: SqlPolicies(node.database).create_group(Group(ident, f"g {ident}", ("id-anna",), 1))


@step
async def change_group(node: Node) -> Act:
    before = await group(node)
    after = before._replace(members=("id-carl",))
    return lambda node: SqlPolicies(node.database).change_group(after, before.revision)


@step
async def add_passkey(_node: Node) -> Act:
    new = passkey()
    return lambda node: SqlPasskeys(node.database).add(new)


@step
async def remove_passkey(node: Node) -> Act:
    there = await SqlPasskeys(node.database).add(passkey())
    return lambda node: SqlPasskeys(node.database).remove(there.user_id, there.id)


async def test_each_act_around_the_vault_is_done_once_or_not_at_all(nodes: tuple[Node, Node], cut: Cut) -> None:  # noqa: F811
    for act in STEPS:
        cuts = await walked(act, *nodes, cut)
        print(f"{act.name}: cut {cuts} times")
        assert cuts >= 2, act.name


async def test_all_passkeys_of_somebody_are_taken_away_with_their_record(
    nodes: tuple[Node, Node],  # noqa: F811
    cut: Cut,  # noqa: F811
) -> None:
    """Which may be asked for twice, and is recorded each time: who did is to be seen."""
    direct, broken = nodes
    keys = SqlPasskeys(direct.database)
    recorded = "event passkey.reset"
    for when in When:
        for _ in range(2):
            await keys.add(passkey())
        before = await direct.database.read(world)
        cut.arm(1, when)
        with pytest.raises((DatabaseError, asyncio.CancelledError)):
            await cut.run(lambda: SqlPasskeys(broken.database).reset("id-anna"))
        assert cut.has_fired()
        is_done = when is When.AFTER
        stands = between(before, await direct.database.read(world))
        assert (len(await keys.of_user("id-anna")), stands.get(recorded, 0)) == ((0, 1) if is_done else (2, 0)), when
        await SqlPasskeys(broken.database).reset("id-anna")
        stands = between(before, await direct.database.read(world))
        assert (len(await keys.of_user("id-anna")), stands[recorded]) == (0, 2 if is_done else 1), when
