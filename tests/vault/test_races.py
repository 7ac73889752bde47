"""Racing check-outs on both databases, from several nodes' connections: never two who hold one entry."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text

from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.db.errors import DatabaseBusy
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.errors import CheckedOut, CheckoutOver
from rppam.vault.service import Vault
from tests.vault.test_sealing import kept, new_master, ring

pytestmark = pytest.mark.server
ROUNDS = 4
RACERS = 9


def identity(number: int) -> Identity:
    roles = frozenset({"pam_admin"})
    return Identity(f"user{number}", f"id-{number}", roles, "s", SessionKind.LOGIN, mfa=True)


async def test_of_many_nodes_and_users_one_has_it(url: str, open_database: Callable[..., Any]) -> None:
    databases: list[Database] = [await open_database(url, 20_000) for _ in range(3)]
    master = new_master()
    nodes = [Checkouts(Vault(one, ring(master), lambda: None), minutes_max=60) for one in databases]
    [entry] = await kept(databases[0], ring(master), "contested")
    chance, generations, late = random.Random(7), [], 0
    for _ in range(ROUNDS):
        racers = [(chance.choice(nodes), identity(number), Wish(entry.id, "because", 30)) for number in range(RACERS)]
        found = await asyncio.gather(*(node.begin(who, wish) for node, who, wish in racers), return_exceptions=True)
        won = [one for one in found if not isinstance(one, BaseException)]
        lost = [one for one in found if isinstance(one, BaseException)]
        assert all(isinstance(one, CheckedOut | DatabaseBusy) for one in lost), lost
        assert len(won) == 1
        await databases[0].read(_one_holds)
        who = next(who for _, who, _ in racers if who.subject == won[0].holder.name)
        generations.append(won[0].generation)
        # The winner gives it back from three nodes at once: it ends once.
        await asyncio.gather(*(node.check_in(who, won[0].id) for node in nodes))
        if chance.random() < 0.5:
            again = await nodes[1].begin(identity(99), Wish(entry.id, "because", 30))
            generations.append(again.generation)
            with pytest.raises(CheckoutOver):
                await nodes[2].check_in(who, won[0].id)
            await nodes[0].check_in(identity(99), again.id)
            late += 1
    assert generations == list(range(1, len(generations) + 1))


def _one_holds(connection: Connection) -> None:
    held = text("SELECT count(*) FROM checkouts WHERE ended_at IS NULL")
    assert connection.execute(held).scalar_one() == 1


async def test_the_database_itself_refuses_a_second_one(database: Database) -> None:
    [entry] = await kept(database, ring(new_master()), "x")
    row = (
        "INSERT INTO checkouts (id, entry_id, entry_name, generation, user_id, user_name, reason, exclusive, grant_id,"
        " started_at, expires_at, ended_why, ended_by) VALUES (:id, :entry, 'x', :generation, '', '', '', true, '',"
        " 1, 2, '', '')"
    )

    def add(connection: Connection, number: int) -> None:
        connection.execute(text(row), {"id": str(number), "entry": entry.id, "generation": number})

    await database.write(lambda connection: add(connection, 1))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.write(lambda connection: add(connection, 2))
