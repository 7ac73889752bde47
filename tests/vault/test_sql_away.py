"""SQL goes away at each commit of each act of the vault and of requests: nothing is lost, doubled or half done.

Each act runs with the connection cut at its first commit, then at its second and so on, before and after it. What
stands then is either what stood before or the whole act with its record; whoever is told of the failure may repeat it,
and then has the whole act once, unless it is one that can be done again.
"""

import asyncio
import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, func, select, text

from rppam.access.accounts.model import AccountRole
from rppam.access.passkeys.tables import webauthn_credentials
from rppam.access.sessions.model import Identity, SessionKind
from rppam.cluster.health.ports import Authority
from rppam.db.database import Database
from rppam.db.errors import DatabaseError
from rppam.kernel.errors import RppamError
from rppam.kernel.secret import Secret
from rppam.ledger.tables import audit_events
from rppam.requests.machine import CountsFrom, Verdict
from rppam.requests.model import Level, Mode, ObjectKind, Policy, Right as Asked, Rules, Wanted
from rppam.requests.policies_store import SqlPolicies
from rppam.requests.store import SqlRequests
from rppam.requests.tables import (
    access_grants,
    access_requests,
    approval_policies,
    request_decisions,
    user_group_members,
    user_groups,
)
from rppam.requests.vault_grants import VaultGrants
from rppam.requests.wiring import find_object
from rppam.targets.tables import account_tags, resource_host_keys, resource_tags, resources, target_accounts
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.errors import CheckedOut
from rppam.vault.folder_service import Folders
from rppam.vault.key_service import VaultKeys
from rppam.vault.keys import Master
from rppam.vault.model import Checkout, Entry, EntryPolicy, EntryType, FolderRight, Right, Subject
from rppam.vault.service import Change, Vault
from rppam.vault.tables import (
    checkout_waits,
    checkouts,
    vault_deks,
    vault_entries,
    vault_fields,
    vault_folders,
    vault_keks,
    vault_rights,
    vault_versions,
)
from tests.requests.people import furnish, hire
from tests.support.sql_cut import Cut, When, cut_of
from tests.vault.test_sealing import new_master, ring

pytestmark = [pytest.mark.integration, pytest.mark.server]

CUTS_MAX = 8
MOST_WANTED = {"restore", "reveal", "check_out", "check_in", "force", "expire", "wrap_anew", "approve_last", "revoke"}
"""With PostgreSQL, where each cut costs a new connection, the others have their turn in ``make vault-sql-away``."""
STALE = "whether older keys still wrap data keys"
ROOT = Identity("root", "id-root", frozenset({AccountRole.ADMIN}), "s", SessionKind.LOGIN, mfa=True)
OTHER = Identity("carl", "id-carl", frozenset({AccountRole.ADMIN}), "s", SessionKind.LOGIN, mfa=True)
SECRET = {"text": Secret("one")}
LEADER = Authority(7, "boot")


class Node:
    """The parts of a node on one database."""

    def __init__(self, database: Database, master: Master) -> None:
        keyring = ring(master)
        self.database = database
        self.vault = Vault(database, keyring, VaultGrants)
        self.checkouts = Checkouts(self.vault, minutes_max=600)
        self.folders = Folders(self.vault)
        self.keys = VaultKeys(database, keyring)
        self.requests = SqlRequests(database, find_object)

    async def entry(self, *, account: str | None = None, **policy: Any) -> Entry:
        new = Entry("", "", "away", f"e{uuid.uuid4()}", EntryType.NOTE, account, None, policy=EntryPolicy(**policy))
        return await self.vault.create(ROOT, new, SECRET)

    async def held(self, who: Identity = ROOT, **policy: Any) -> Checkout:
        entry = await self.entry(**policy)
        return await self.checkouts.begin(who, Wish(entry.id, "because", 30))

    async def asked(self, **more: Any) -> str:
        """A request for an entry of its own; its id."""
        entry = await self.entry()
        made = await self.requests.create("id-ursula", wish(entry, **more))
        return made.request.id

    async def granted(self, **more: Any) -> str:
        ident = await self.asked(**more)
        await self.requests.decide(ident, "id-anna", Verdict.APPROVE)
        await self.requests.decide(ident, "id-bert", Verdict.APPROVE)
        return ident

    async def sql(self, statement: str, **values: Any) -> None:
        await self.database.write(lambda connection: connection.execute(text(statement), values).close())


def wish(entry: Entry, **more: Any) -> Wanted:
    return Wanted(ObjectKind.ENTRY, entry.id, entry.name, (Asked.REVEAL,), 30, "because", factor="totp", **more)


Act = Callable[[Node], Awaitable[Any]]


class Step(NamedTuple):
    """One act: what has to be there before, and what is done to it."""

    name: str
    prepare: Callable[[Node], Awaitable[Act]]
    again: bool = False
    """Whether doing it twice is doing it twice, as two reveals are."""


STEPS: list[Step] = []


def step(*, again: bool = False) -> Callable[[Callable[[Node], Awaitable[Act]]], Callable[[Node], Awaitable[Act]]]:
    def add(prepare: Callable[[Node], Awaitable[Act]]) -> Callable[[Node], Awaitable[Act]]:
        STEPS.append(Step(prepare.__name__, prepare, again))
        return prepare

    return add


@step()
async def create(_node: Node) -> Act:
    new = Entry("", "", "away", f"e{uuid.uuid4()}", EntryType.NOTE, None, None)
    return lambda node: node.vault.create(ROOT, new, SECRET)


@step(again=True)
async def set_secret(node: Node) -> Act:
    entry = await node.entry()
    return lambda node: node.vault.change(ROOT, entry.id, Change(fields={"text": Secret("two")}))


@step(again=True)
async def restore(node: Node) -> Act:
    entry = await node.entry()
    await node.vault.change(ROOT, entry.id, Change(fields={"text": Secret("two")}))
    return lambda node: node.vault.restore(ROOT, entry.id, 1)


@step()
async def remove(node: Node) -> Act:
    held = await node.held()
    return lambda node: node.vault.remove(ROOT, held.entry_id)


@step(again=True)
async def reveal(node: Node) -> Act:
    entry = await node.entry()
    return lambda node: node.vault.reveal(ROOT, entry.id, "because")


@step(again=True)
async def use(node: Node) -> Act:
    await node.sql("UPDATE vault_entries SET account_id = NULL")  # one entry of the account, each time
    await node.entry(account="acc-1")
    return lambda node: node.vault.use(ROOT, "acc-1", "a session")


@step()
async def check_out(node: Node) -> Act:
    entry = await node.entry()
    return lambda node: node.checkouts.begin(ROOT, Wish(entry.id, "because", 30))


@step()
async def queue(node: Node) -> Act:
    held = await node.held(OTHER)

    async def act(node: Node) -> None:
        with contextlib.suppress(CheckedOut):
            await node.checkouts.begin(ROOT, Wish(held.entry_id, "because", 30, wait=True))

    return act


@step()
async def check_in(node: Node) -> Act:
    held = await node.held(rotate_after_use=True)
    return lambda node: node.checkouts.check_in(ROOT, held.id)


@step()
async def force(node: Node) -> Act:
    held = await node.held(OTHER)
    return lambda node: node.checkouts.force(ROOT, held.id, "because")


@step()
async def expire(node: Node) -> Act:
    held = await node.held(rotate_after_use=True)
    await node.sql("UPDATE checkouts SET expires_at = 1 WHERE id = :id", id=held.id)
    return lambda node: node.checkouts.sweep()


@step()
async def release(node: Node) -> Act:
    held = await node.held(rotate_after_use=True)
    await node.checkouts.check_in(ROOT, held.id)
    return lambda node: node.vault.release(ROOT, held.entry_id)


@step(again=True)
async def rotate_key(_node: Node) -> Act:
    return lambda node: node.keys.rotate()


@step()
async def wrap_anew(node: Node) -> Act:
    await node.keys.follow()
    await node.entry()
    await node.keys.rotate()
    return lambda node: node.keys.follow()


@step()
async def make_folder(_node: Node) -> Act:
    path = f"f-{uuid.uuid4()}"
    return lambda node: node.folders.create(ROOT, path, "")


@step()
async def give_rights(node: Node) -> Act:
    folder = await node.folders.create(ROOT, f"f-{uuid.uuid4()}", "")
    rights = [FolderRight(Subject("role", "pam_user"), frozenset({Right.USE}))]
    return lambda node: node.folders.put_rights(ROOT, folder.id, rights, [folder.revision])


@step()
async def ask(node: Node) -> Act:
    entry = await node.entry()
    return lambda node: node.requests.create("id-ursula", wish(entry))


@step(again=True)
async def emergency(node: Node) -> Act:
    entry = await node.entry()
    return lambda node: node.requests.create("id-ursula", wish(entry, emergency=True))


@step()
async def approve_first(node: Node) -> Act:
    ident = await node.asked()
    return lambda node: node.requests.decide(ident, "id-anna", Verdict.APPROVE)


@step()
async def approve_last(node: Node) -> Act:
    ident = await node.asked()
    await node.requests.decide(ident, "id-bert", Verdict.APPROVE)
    return lambda node: node.requests.decide(ident, "id-anna", Verdict.APPROVE)


@step()
async def deny(node: Node) -> Act:
    ident = await node.asked()
    return lambda node: node.requests.decide(ident, "id-anna", Verdict.DENY)


@step()
async def cancel(node: Node) -> Act:
    ident = await node.granted()
    return lambda node: node.requests.cancel(ident, "id-ursula")


@step()
async def extend(node: Node) -> Act:
    ident = await node.granted()
    return lambda node: node.requests.extend(ident, "id-ursula", 10, "because", "totp")


@step()
async def revoke(node: Node) -> Act:
    ident = await node.granted()
    grant = (await node.requests.get(ident)).grant_id
    return lambda node: node.requests.revoke(grant, "because")


@step()
async def review(node: Node) -> Act:
    ident = await node.asked(emergency=True)
    return lambda node: node.requests.review(ident, "id-anna", "looked at it")


@step()
async def expire_request(node: Node) -> Act:
    ident = await node.asked()
    await node.sql("UPDATE access_requests SET decide_by = 1, due_at = 1 WHERE id = :id", id=ident)
    return lambda node: node.requests.tick(LEADER, "node1", ident)


@step(again=True)
async def reveal_by_grant(node: Node) -> Act:
    ident = await node.granted()
    entry = (await node.requests.get(ident)).wanted.object_id
    ursula = Identity("ursula", "id-ursula", frozenset({AccountRole.USER}), "s", SessionKind.LOGIN, mfa=True)
    await node.sql("UPDATE vault_entries SET exclusive = :no WHERE id = :id", no=False, id=entry)
    return lambda node: node.vault.reveal(ursula, entry, "because")


# ---- the walk --------------------------------------------------------------------------------------------------------


def world(connection: Connection) -> Counter[str]:
    """How much there is of everything that an act may change."""
    found: Counter[str] = Counter()
    for table, *columns in (
        (vault_entries, vault_entries.c.state),
        (vault_versions, vault_versions.c.state),
        (vault_fields,),
        (vault_folders,),
        (vault_rights,),
        (vault_keks, vault_keks.c.state),
        (checkouts, checkouts.c.ended_why),
        (checkout_waits,),
        (access_requests, access_requests.c.state, access_requests.c.reviewed),
        (access_grants, access_grants.c.ended_why),
        (request_decisions, request_decisions.c.verdict),
        (resources, resources.c.description),
        (resource_tags, resource_tags.c.tag),
        (resource_host_keys,),
        (target_accounts, target_accounts.c.description),
        (account_tags, account_tags.c.tag),
        (approval_policies, approval_policies.c.priority),
        (user_groups,),
        (user_group_members,),
        (webauthn_credentials,),
    ):
        counted = select(func.count(), *columns).select_from(table)
        for row in connection.execute(counted.group_by(*columns) if columns else counted):
            found[f"{table.name} {row[1:]}"] += row[0]
    generations = connection.execute(select(func.sum(vault_entries.c.generation))).scalar_one()
    found["generations"] = int(generations or 0)
    newest = select(vault_keks.c.id).order_by(vault_keks.c.version.desc()).limit(1).scalar_subquery()
    stale = select(func.count()).select_from(vault_deks).where(vault_deks.c.kek_id != newest)
    found[STALE] = min(1, connection.execute(stale).scalar_one())
    done = select(audit_events.c.action, func.count()).where(audit_events.c.outcome == "success")
    for action, count in connection.execute(done.group_by(audit_events.c.action)):
        found[f"event {action}"] += count
    return found


def between(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """What has changed."""
    names = before.keys() | after.keys()
    return {name: after[name] - before[name] for name in names if after[name] != before[name]}


@pytest.fixture
def cut(url: str) -> Iterator[Cut]:
    made = cut_of(url)
    yield made
    made.close()


@pytest.fixture
async def nodes(url: str, cut: Cut, open_database: Callable[..., Any]) -> tuple[Node, Node]:
    """One that is never cut, and one that is; the same master key, people, and a policy of two approvers."""
    master = new_master()
    direct = Node(await open_database(url, 20_000), master)
    await hire(direct.database)
    await furnish(direct.database)
    rules = Rules(mode=Mode.MULTI, approvals=2, counts_from=CountsFrom.APPROVAL, emergencies_per_day=10_000)
    await SqlPolicies(direct.database).create(Policy("p", "p", Level.DEFAULT, "", 0, rules, 1))
    await direct.entry()
    await direct.requests.tick(LEADER, "node1", await direct.asked())  # the leader's epoch is known from now on
    broken = await open_database(cut.url, 20_000)
    cut.watch(broken)
    return direct, Node(broken, master)


async def test_each_act_is_done_once_or_not_at_all(nodes: tuple[Node, Node], cut: Cut) -> None:
    everything = os.environ.get("RPPAM_SQL_AWAY") == "all" or cut.url.startswith("sqlite")
    for act in STEPS:
        if not everything and act.name not in MOST_WANTED:
            continue
        cuts = await walked(act, *nodes, cut)
        print(f"{act.name}: cut {cuts} times")
        assert cuts >= 2, act.name


async def walked(act: Step, direct: Node, broken: Node, cut: Cut) -> int:
    """Cut an act at each of its commits; how often that was."""

    async def seen() -> Counter[str]:
        found = await direct.database.read(world)
        if act.name != "wrap_anew":
            del found[STALE]
        return found

    run = await act.prepare(direct)
    before = await seen()
    await run(broken)
    whole = between(before, await seen())
    has_record = any(name.startswith("event ") for name in whole)
    assert has_record or act.name == "queue", f"{act.name} has no record: {whole}"
    cuts = 0
    for when in When:
        for number in range(1, CUTS_MAX):
            run = await act.prepare(direct)
            before = await seen()
            cut.arm(number, when)
            failed: BaseException | None = None
            try:
                await cut.run(lambda run=run: run(broken))  # type: ignore[misc]
            except (DatabaseError, asyncio.CancelledError) as error:
                failed = error
            if not cut.has_fired():
                assert failed is None
                assert between(before, await seen()) == whole
                break
            cuts += 1
            where = f"{act.name}, {when} {number}: {failed!r}"
            assert failed is not None, where
            if isinstance(failed, DatabaseError):
                assert failed.row.code in {"RPPAM-2902", "RPPAM-2903", "RPPAM-2905"}, where
                assert failed.row.status == 503
            stands = between(before, await seen())
            is_partial = stands.items() != whole.items() and bool(stands)
            assert not is_partial or act.name == "wrap_anew", (where, stands, whole)
            refused: RppamError | None = None
            try:
                await run(broken)
            except RppamError as error:
                refused = error
            assert not isinstance(refused, DatabaseError), (where, refused)
            after = between(before, await seen())
            twice = {name: 2 * count for name, count in whole.items()}
            if stands == whole and act.again:
                assert refused is None, (where, refused)
                assert after == twice, (where, after, whole)
            else:
                assert after == whole, (where, refused, after, whole)
                assert refused is None or stands == whole, (where, refused)
        else:
            raise AssertionError("there are more commits than were looked at")
    return cuts
