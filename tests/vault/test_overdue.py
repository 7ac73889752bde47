"""A check-out that has run out and that nobody has ended yet: its secret is given to nobody before it is changed."""

import asyncio
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, event, text

from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.kernel.secret import Secret
from rppam.vault.checkout_service import Checkouts, Wish
from rppam.vault.errors import EntryBlocked
from rppam.vault.model import Checkout, Entry, EntryPolicy, EntryState, EntryType, FolderRight, Right, Subject
from rppam.vault.sealing import Keyring
from rppam.vault.service import Change, Vault
from rppam.vault.store import add_version, create_entry, create_folder, entry_in, put_rights
from tests.requests.people import furnish
from tests.vault.test_sealing import new_master, ring

pytestmark = pytest.mark.server
ENTRIES = 40
LOOKS = 3


def somebody(name: str, role: str = "pam_user") -> Identity:
    return Identity(name, f"id-{name}", frozenset({role}), "s", SessionKind.LOGIN, mfa=True)


ADMIN, URSULA, UWE = somebody("root", "pam_admin"), somebody("ursula"), somebody("uwe")


class Place(NamedTuple):
    """A node without a leader: nothing is swept."""

    database: Database
    vault: Vault
    checkouts: Checkouts


@pytest.fixture
async def place(database: Database) -> Place:
    return node(database, ring(new_master()))


def node(database: Database, keyring: Keyring) -> Place:
    vault = Vault(database, keyring, lambda: None)
    return Place(database, vault, Checkouts(vault, minutes_max=60))


async def kept(place: Place, *names: str, exclusive: bool = True) -> list[Entry]:
    """Entries of one account that are to be changed after use."""
    account = await furnish(place.database)
    policy = EntryPolicy(exclusive=exclusive, rotate_after_use=True)

    def work(connection: Connection) -> list[Entry]:
        folder = create_folder(connection, f"f-{uuid.uuid4()}")
        rights = [FolderRight(Subject("role", "pam_user"), frozenset({Right.REVEAL, Right.MANAGE}))]
        put_rights(connection, folder.id, rights, None)
        made = []
        for name in names:
            ident = str(uuid.uuid4())
            new = Entry(ident, folder.id, folder.path, name, EntryType.PASSWORD, account, None, policy=policy)
            fields = {"password": Secret(f"old {name}")}
            made.append(add_version(connection, place.vault.keyring, create_entry(connection, new), fields, "test"))
        return made

    return await place.database.write(work)


async def run_out(place: Place, held: Checkout | None = None) -> None:
    """The time of a check-out is over, or of all."""
    which = "" if held is None else f" WHERE id = '{held.id}'"
    await place.database.write(
        lambda connection: connection.execute(text(f"UPDATE checkouts SET expires_at = 1{which}")).close()
    )


async def entry_now(place: Place, entry: Entry) -> Entry:
    return await place.database.read(partial(entry_in, ident=entry.id))


def begin(place: Place, who: Identity, entry: Entry) -> Any:
    return place.checkouts.begin(who, Wish(entry.id, "because", 30))


@pytest.mark.parametrize("exclusive", [True, False])
async def test_nobody_gets_what_has_run_out_before_it_is_changed(place: Place, exclusive: bool) -> None:
    [entry] = await kept(place, "root", exclusive=exclusive)
    held = await begin(place, URSULA, entry)
    assert (await place.vault.reveal(URSULA, entry.id, "because")).fields["password"].reveal() == "old root"
    await run_out(place)
    for who in (URSULA, UWE, ADMIN):
        with pytest.raises(EntryBlocked, match="was used and is not changed yet"):
            await place.vault.may_reveal(who, entry.id)
        with pytest.raises(EntryBlocked):
            await place.vault.reveal(who, entry.id, "because")
        with pytest.raises(EntryBlocked):
            await place.vault.use(who, "acc-1", "an SSH session")
    assert (await place.vault.get(UWE, entry.id)).entry.state is EntryState.PENDING_ROTATION
    for who in (URSULA, UWE, ADMIN):
        with pytest.raises(EntryBlocked):
            await begin(place, who, entry)
    ended = await place.checkouts.get(URSULA, held.id)
    assert ended.ended_why == "expired", "who was refused has ended it"
    for who in (URSULA, UWE, ADMIN):
        with pytest.raises(EntryBlocked):
            await place.vault.reveal(who, entry.id, "because")
    await place.vault.change(UWE, entry.id, Change(fields={"password": Secret("new")}))
    again = await begin(place, UWE, entry)
    assert again.generation == held.generation + 1
    assert (await place.vault.reveal(UWE, entry.id, "because")).fields["password"].reveal() == "new"


@pytest.mark.parametrize("how", ["change", "restore", "release"])
async def test_what_was_changed_or_released_after_it_had_run_out_stays_so(place: Place, how: str) -> None:
    [entry] = await kept(place, "root")
    held = await begin(place, URSULA, entry)
    await run_out(place)
    if how == "change":
        made = await place.vault.change(UWE, entry.id, Change(fields={"password": Secret("new")}))
    elif how == "restore":
        made = await place.vault.restore(UWE, entry.id, 1)
    else:
        made = await place.vault.release(UWE, entry.id)
    assert made.state is EntryState.AVAILABLE
    await place.checkouts.sweep()
    assert (await entry_now(place, entry)).state is EntryState.AVAILABLE, "the sweep comes late"
    assert (await place.checkouts.get(URSULA, held.id)).ended_why == "expired"
    assert (await begin(place, UWE, entry)).generation == 2


async def test_what_is_changed_while_somebody_has_it_is_changed_again_after_use(place: Place) -> None:
    [entry] = await kept(place, "root")
    await begin(place, URSULA, entry)
    await place.vault.change(UWE, entry.id, Change(fields={"password": Secret("new")}))
    await run_out(place)
    with pytest.raises(EntryBlocked):
        await begin(place, UWE, entry)


async def test_an_entry_that_needs_no_change_is_given_on_at_once(place: Place) -> None:
    [entry] = await kept(place, "root")
    policy = EntryPolicy(exclusive=True, rotate_after_use=False)
    await place.vault.change(UWE, entry.id, Change(policy=policy))
    await begin(place, URSULA, entry)
    await run_out(place)
    assert (await place.vault.reveal(ADMIN, entry.id, "because")).version == 1
    assert (await begin(place, UWE, entry)).generation == 2


async def test_a_look_costs_no_statement_more(place: Place) -> None:
    [entry] = await kept(place, "root")
    await begin(place, URSULA, entry)
    said: list[str] = []

    def note(_line: Any, _cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(place.database._engine, "before_cursor_execute", note)
    await place.vault.may_reveal(URSULA, entry.id)
    # The entry, the caller's rights, and how it stands.
    assert len(said) == LOOKS, said
    said.clear()
    await run_out(place)
    with pytest.raises(EntryBlocked):
        await place.vault.may_reveal(URSULA, entry.id)
    assert len([one for one in said if one.startswith("SELECT")]) == LOOKS, "nor where something is over"


async def test_a_check_out_of_what_nobody_has_asks_little(place: Place) -> None:
    [entry] = await kept(place, "root")
    said: list[str] = []

    def note(_line: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "vault_" in statement or "checkout" in statement:
            said.append(statement.split(maxsplit=1)[0])

    event.listen(place.database._engine, "before_cursor_execute", note)
    await begin(place, URSULA, entry)
    # Rights, the entry locked and read, how it stands, the vault's key; the check-out, and its generation.
    assert said == ["SELECT"] * 5 + ["INSERT", "UPDATE"], said
    said.clear()
    await run_out(place)
    with pytest.raises(EntryBlocked):
        await begin(place, UWE, entry)
    assert "DELETE" in said, "who waits is asked for where something was left"


async def test_sweeps_and_those_who_come_wait_for_each_other_and_not_for_ever(
    url: str, open_database: Callable[..., Any]
) -> None:
    keyring = ring(new_master())
    places = [node(await open_database(url, 20_000), keyring) for _ in range(3)]
    entries = await kept(places[0], *(f"e{number}" for number in range(ENTRIES)))
    for _ in range(3):
        for entry in entries:
            await begin(places[0], URSULA, entry)
        await run_out(places[0])
        sweeps = [place.checkouts.sweep() for place in places]
        found = await asyncio.gather(
            *sweeps, *(begin(place, UWE, one) for one in entries for place in places[1:]), return_exceptions=True
        )
        assert all(one is None or isinstance(one, EntryBlocked) for one in found), found
        await asyncio.gather(*(places[0].vault.release(UWE, one.id) for one in entries))
