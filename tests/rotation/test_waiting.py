"""``rppam vault checkout --wait`` over the change of a secret: who waits keeps the place, and gets the new one."""

import asyncio
import json
import secrets
import subprocess
from functools import partial

import pytest
from sqlalchemy import text

from tests.rotation.test_on_targets import FIRST, runner, secret_of, target
from tests.support import prefork
from tests.support.postgres import Server
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, Person, host, let, person

pytestmark = [pytest.mark.integration, pytest.mark.server]
FORGOTTEN_MS = 6_000
"""Who waits and has not asked for so long waits no more; the command asks every two seconds."""


def waiting(by: Person, entry: str) -> "asyncio.Task[subprocess.CompletedProcess[str]]":
    """The command, which runs."""
    token = by.headers["Authorization"].removeprefix("Bearer ")
    environment = prefork.clean(RPPAM_TOKEN=token, RPPAM_URL=by.served.url)
    words = ("vault", "checkout", entry, "--reason", "because", "--wait", "--json")
    return asyncio.create_task(asyncio.to_thread(partial(prefork.run, *words, environment=environment)))


async def test_who_waits_keeps_the_place_while_the_secret_is_changed(
    open_vault: Served, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.vault.checkout_store.WAIT_MS", FORGOTTEN_MS)
    role = f"role_{secrets.token_hex(4)}"
    with postgresql.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{FIRST}'")
    admin = host(open_vault)
    entry = await target(admin, "postgresql", postgresql.port, role, type="database", rotateAfterUse=True)
    ursula, audrey = await person(open_vault, "ursula"), await person(open_vault, "audrey")
    for one in (ursula, audrey):
        await let(open_vault, "servers", one.name, "reveal")
    held = await admin.check_out(entry)
    command = waiting(ursula, f"servers/{role}")
    waits = text("SELECT count(*) FROM checkout_waits")
    while not await open_vault.database.read(lambda line: line.execute(waits).scalar_one()):
        assert not command.done(), command.result()
        await asyncio.sleep(0.1)
    assert (await audrey.check_out(entry, wait=True)).json()["position"] == 2
    assert (await admin.post(f"{CHECKOUTS}/{held.json()['id']}/checkin")).status_code == 204
    for _ in range(4 * FORGOTTEN_MS // 1000):
        await asyncio.sleep(0.5)
        late = (await audrey.check_out(entry, wait=True)).json()
        assert (late["code"], late["heldBy"], late["position"]) == ("RPPAM-8411", "ursula", 2), late
    assert not command.done()
    await runner(open_vault).work()
    done = await asyncio.wait_for(command, 30)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["generation"] == 2
    said = done.stderr.splitlines()
    assert len(said) == 2, said
    assert "admin has it until" in said[0]
    assert said[1] == f"{role} was used and is not changed yet; you are number 1 in the queue"
    assert await secret_of(ursula, entry) != FIRST
