"""Secrets changed on real targets: an account behind OpenSSH, by itself and by root, and a role of PostgreSQL; and each
point at which whoever changes one may die."""

import contextlib
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import update

from rppam.rotation.asking import Hands
from rppam.rotation.requests import Answer, Request
from rppam.rotation.runner import Runner
from rppam.rotation.store import failing_in
from rppam.vault.service import Vault
from rppam.vault.tables import vault_entries, vault_fields
from tests.gateway.places import Sshd, sshd
from tests.support.postgres import Server
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, Person, actions, host

pytestmark = [pytest.mark.integration, pytest.mark.server]
FIRST = "First-secret.4711"


class Account:
    """An account of this host, for as long as a test lasts."""

    def __init__(self) -> None:
        self.name = f"rppam-{secrets.token_hex(4)}"
        subprocess.run(["useradd", "--no-create-home", "--shell", "/bin/sh", self.name], check=True)
        self.set(FIRST)

    def set(self, secret: str) -> None:
        subprocess.run(["chpasswd"], input=f"{self.name}:{secret}\n", text=True, check=True)

    def remove(self) -> None:
        subprocess.run(["userdel", self.name], check=False, capture_output=True)


@pytest.fixture
def account() -> Iterator[Account]:
    if os.getuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("an account can only be made by root")
    one = Account()
    yield one
    one.remove()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd") / "target", "PasswordAuthentication yes") as one:
        yield one


class DiedError(Exception):
    """Whoever changed it is no more."""


class Dying(Hands):
    """Dies at a point of the change."""

    point = ""

    async def ask(self, request: Request) -> Answer:
        if request.new is not None and self.point == "before":
            raise DiedError
        if request.new is not None and self.point == "refused":
            return Answer("refused", "not today")
        answer = await super().ask(request)
        if request.new is not None and self.point == "after":
            raise DiedError
        if request.new is not None and self.point == "unheard":
            return Answer("unknown", "nobody could say")
        return answer


def runner(served: Served, hands: Any = Hands) -> Runner:
    return Runner(served.database, served.services.get(Vault).keyring, "node1", hands)


async def target(admin: Person, kind: str, port: int, name: str, **entry: Any) -> dict[str, Any]:
    """An entry for an account of that name on 127.0.0.1."""
    wanted = {"name": f"t-{secrets.token_hex(3)}", "kind": kind, "address": "127.0.0.1", "port": port}
    resource = await admin.made("/api/v1/resources", **wanted, hostKeyPolicy="tofu")
    account = await admin.made("/api/v1/accounts", resourceId=resource["id"], name=name)
    return await admin.entry(name, accountId=account["id"], fields={"password": FIRST}, **entry)


async def secret_of(admin: Person, entry: dict[str, Any], version: int | None = None) -> str:
    body = {} if version is None else {"version": version}
    answer = await admin.reveal(entry, **body)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["fields"]["password"]
    return found


async def state(admin: Person, entry: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await admin.get(f"{ENTRIES}/{entry['id']}/rotation")).json()["rotations"][0]
    return found


async def soon(served: Served) -> None:
    """What waits for its next attempt, or for a lease to run out, is due now."""
    await served.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE rotations SET not_before = 0, lease_until = 0").close()
    )


def signs_in(server: Sshd, name: str, secret: str) -> bool:
    words = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    words += ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1", "-p", str(server.port)]
    ask = {"SSH_ASKPASS": str(server.folder / "ask"), "SSH_ASKPASS_REQUIRE": "force", "WORD": secret}
    (server.folder / "ask").write_text('#!/bin/sh\nprintf "%s\\n" "$WORD"\n')
    (server.folder / "ask").chmod(0o700)
    done = subprocess.run(
        [*words, f"{name}@127.0.0.1", "true"], env=os.environ | ask, capture_output=True, check=False, timeout=30
    )
    return done.returncode == 0


def role_of(server: Server) -> str:
    """A new role of the database, with the first password."""
    role = f"role_{secrets.token_hex(4)}"
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{FIRST}'")
    return role


def has_only(server: Server, role: str, new: str) -> None:
    """Fail unless the role gets in with its new password, and no more with the first."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=server.port, user=role, password=FIRST, dbname="postgres")
    psycopg.connect(host="127.0.0.1", port=server.port, user=role, password=new, dbname="postgres").close()


async def test_after_use_an_account_changes_its_own_password(
    open_vault: Served, account: Account, server: Sshd
) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", server.port, account.name, rotateAfterUse=True)
    held = await admin.check_out(entry)
    await runner(open_vault).work()
    assert signs_in(server, account.name, FIRST), "not while somebody has it"
    assert (await admin.post(f"{CHECKOUTS}/{held.json()['id']}/checkin")).status_code == 204
    assert (await admin.check_out(entry)).json()["code"] == "RPPAM-8413"
    await runner(open_vault).work()
    done = await state(admin, entry)
    assert (done["phase"], done["cause"], done["problem"]) == ("done", "use", ""), done
    new = await secret_of(admin, entry)
    assert new != FIRST
    assert signs_in(server, account.name, new)
    assert not signs_in(server, account.name, FIRST)
    assert (await admin.check_out(entry)).status_code == 201
    [event] = await actions(open_vault, "rotation.done")
    assert event["details"]["version"] == 2
    assert len(await actions(open_vault, "rotation.begin")) == 1


@pytest.mark.parametrize("point", ["before", "after", "unheard"])
async def test_wherever_it_dies_the_next_one_finds_what_the_target_takes(
    open_vault: Served, account: Account, server: Sshd, point: str
) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", server.port, account.name)
    assert (await admin.post(f"{ENTRIES}/{entry['id']}/rotate")).status_code == 202
    with contextlib.suppress(DiedError):
        await runner(open_vault, type("At", (Dying,), {"point": point})).work()
    kept = [one["state"] for one in (await admin.get(f"{ENTRIES}/{entry['id']}/versions")).json()["items"]]
    if point == "unheard":
        assert (await state(admin, entry))["phase"] == "done", "it has asked the target"
    else:
        assert (await state(admin, entry))["phase"] == "changing"
        assert kept == ["staged", "current"], "a candidate is kept before the target is touched"
        assert (await admin.check_out(entry)).json()["code"] == "RPPAM-8413", "nobody gets it meanwhile"
        await runner(open_vault).work()
        assert (await state(admin, entry))["phase"] == "changing", "while the lease holds nobody else works on it"
    for _ in range(3):
        await soon(open_vault)
        await runner(open_vault).work()
    assert (await state(admin, entry))["phase"] == "done"
    new = await secret_of(admin, entry)
    assert new != FIRST
    assert signs_in(server, account.name, new)


async def test_root_changes_the_password_of_another_and_puts_a_drifted_one_right(
    open_vault: Served, account: Account, server: Sshd
) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", server.port, account.name)
    resource = (await admin.get(f"{ENTRIES}/{entry['id']}")).json()["resourceId"]
    root = await admin.made("/api/v1/accounts", resourceId=resource, name="root")
    key = await admin.made(
        ENTRIES,
        folder="servers",
        name="key",
        type="ssh-key",
        accountId=root["id"],
        fields={"privateKey": server.private_key},
    )
    rules = await admin.put(f"{ENTRIES}/{entry['id']}/rotation", byEntryId=key["id"], everyHours=1, length=32)
    assert rules.status_code == 200, rules.text
    account.set("somebody-else-was.here")
    assert (await admin.post(f"{ENTRIES}/{entry['id']}/rotate")).status_code == 202
    await runner(open_vault).work()
    assert (await state(admin, entry))["phase"] == "done"
    new = await secret_of(admin, entry)
    assert len(new) == 32
    assert signs_in(server, account.name, new)
    await open_vault.database.write(
        lambda connection: connection.exec_driver_sql("UPDATE vault_entries SET changed_at = 1").close()
    )
    await runner(open_vault).work()
    assert (await state(admin, entry))["cause"] == "schedule"
    assert signs_in(server, account.name, await secret_of(admin, entry))
    assert await secret_of(admin, entry) != new


async def test_a_secret_that_is_not_right_is_named_and_nothing_is_touched(
    open_vault: Served, account: Account, server: Sshd
) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", server.port, account.name)
    account.set("somebody-else-was.here")
    await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    await runner(open_vault).work()
    found = await state(admin, entry)
    assert (found["phase"], found["attempts"]) == ("uncertain", 1), found
    assert "takes none of the secrets that are kept" in found["problem"]
    assert (await admin.check_out(entry)).json()["code"] == "RPPAM-8413"
    await admin.put(f"{ENTRIES}/{entry['id']}", fields={"password": "somebody-else-was.here"})
    for _ in range(2):
        await soon(open_vault)
        await runner(open_vault).work()
    assert (await state(admin, entry))["phase"] == "done"
    assert signs_in(server, account.name, await secret_of(admin, entry))


async def test_a_target_that_is_away_is_tried_again_later(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", 1, "root")
    await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    await runner(open_vault).work()
    found = await state(admin, entry)
    assert (found["phase"], found["attempts"]) == ("waiting", 1)
    assert "cannot be reached" in found["problem"]
    [failed] = await actions(open_vault, "rotation.fail")
    assert (failed["outcome"], failed["reason"]) == ("failure", "the target did not say which secret it takes")
    held = await admin.check_out(entry)
    assert held.status_code == 201, "it was not touched, so it can be had"
    refused = await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    assert refused.json()["code"] == "RPPAM-8433"
    assert (await admin.post(f"{CHECKOUTS}/{held.json()['id']}/checkin")).status_code == 204
    nowhere = update(vault_entries).values(account_id=None)
    await open_vault.database.write(lambda connection: connection.execute(nowhere).close())
    await soon(open_vault)
    await runner(open_vault).work()
    [given_up] = await actions(open_vault, "rotation.end")
    assert given_up["reason"] == "its entry belongs to no target any more"


async def test_who_orders_a_change_does_not_let_a_used_secret_be_had_again(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", 1, "root", rotateAfterUse=True)
    held = await admin.check_out(entry)
    assert (await admin.post(f"{CHECKOUTS}/{held.json()['id']}/checkin")).status_code == 204
    assert (await admin.post(f"{ENTRIES}/{entry['id']}/rotate")).status_code == 202
    await runner(open_vault).work()
    found = await state(admin, entry)
    assert (found["phase"], found["cause"], found["attempts"]) == ("waiting", "order", 1)
    assert (await admin.check_out(entry)).json()["code"] == "RPPAM-8413", "who had it knows it still"


@pytest.mark.parametrize("is_used", [False, True])
async def test_a_target_that_refuses_gives_back_what_only_the_change_had_taken(
    open_vault: Served, account: Account, server: Sshd, is_used: bool
) -> None:
    admin = host(open_vault)
    entry = await target(admin, "ssh", server.port, account.name, rotateAfterUse=True)
    assert (await admin.post(f"{ENTRIES}/{entry['id']}/rotate")).status_code == 202
    if is_used:
        held = await admin.check_out(entry)
        assert (await admin.post(f"{CHECKOUTS}/{held.json()['id']}/checkin")).status_code == 204
    hands = type("Refuses", (Dying,), {"point": "refused"})
    await runner(open_vault, hands).work()
    found = await state(admin, entry)
    assert (found["phase"], found["cause"]) == ("waiting", "order"), found
    assert "still takes the secret of before" in found["problem"]
    again = await admin.check_out(entry)
    assert again.status_code == (409 if is_used else 201), again.text


async def test_a_role_of_postgresql_changes_its_own_password_and_the_server_never_logs_it(
    open_vault: Served, postgresql: Server, tmp_path: Path
) -> None:
    role = role_of(postgresql)
    with postgresql.connect() as connection:
        connection.execute(f"ALTER ROLE {role} SET log_statement = 'all'")
    admin = host(open_vault)
    entry = await target(admin, "postgresql", postgresql.port, role, type="database")
    await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    await runner(open_vault).work()
    found = await state(admin, entry)
    assert found["phase"] == "done", found
    new = await secret_of(admin, entry)
    has_only(postgresql, role, new)
    logged = postgresql.log.read_text(errors="replace")
    assert "ALTER ROLE" in logged
    assert new not in logged


async def test_a_secret_that_does_not_open_is_named_and_holds_up_no_other(
    open_vault: Served, postgresql: Server
) -> None:
    admin, role = host(open_vault), role_of(postgresql)
    broken = await target(admin, "ssh", 1, "root")
    well = await target(admin, "postgresql", postgresql.port, role, type="database")
    torn = update(vault_fields).where(vault_fields.c.entry_id == broken["id"]).values(sealed=b"torn" * 20)
    await open_vault.database.write(lambda connection: connection.execute(torn).close())
    for entry in (broken, well):
        assert (await admin.post(f"{ENTRIES}/{entry['id']}/rotate")).status_code == 202
    await runner(open_vault).work()
    assert (await state(admin, well))["phase"] == "done"
    found = await state(admin, broken)
    assert (found["phase"], found["attempts"]) == ("waiting", 1)
    assert "RPPAM-8423: the field password of version 1 does not open" in found["problem"]
    failing = await open_vault.database.read(lambda connection: failing_in(connection, 0))
    assert [one.id for one in failing] == [found["id"]], "what health names once it has lasted"


async def test_what_has_no_target_is_refused(open_vault: Served) -> None:
    admin = host(open_vault)
    entry = await admin.entry()
    refused = await admin.post(f"{ENTRIES}/{entry['id']}/rotate")
    assert (refused.status_code, refused.json()["code"]) == (409, "RPPAM-8431")
    told = (await admin.get(f"{ENTRIES}/{entry['id']}/rotation")).json()
    assert "belongs to no account" in told["problem"]
    stale = await admin.put(f"{ENTRIES}/{entry['id']}/rotation", everyHours=1, revision=7)
    assert (stale.status_code, stale.json()["code"]) == (409, "RPPAM-8404")
