"""Sealing: layers that open at their place alone, keys that change behind readers, and a node with another key."""

import asyncio
import secrets
import uuid
from functools import partial

import pytest
from sqlalchemy import Connection, Executable, delete, func, select, update

from rppam.db.database import Database
from rppam.kernel.instant import Instant
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.vault.errors import MasterKeyDiffers, SecretBroken, VaultKeyGone
from rppam.vault.key_service import VaultKeys
from rppam.vault.keys import Master, MasterKeys, Masters, master_of
from rppam.vault.model import Entry, EntryType
from rppam.vault.sealing import Keyring
from rppam.vault.store import add_version, create_entry, create_folder, entry_in, open_version
from rppam.vault.tables import vault_deks, vault_fields, vault_keks, vault_versions
from tests.support.unnamed import acts

pytestmark = pytest.mark.server
CANARY = "canary-secret-4711"


def new_master() -> Master:
    return master_of(Secret(secrets.token_hex(32)))


def ring(own: Master, *, coming: tuple[Master, ...] = (), gone: tuple[Master, ...] = ()) -> Keyring:
    return Keyring(MasterKeys(lambda: Masters(own, coming, gone), SystemClock()))


async def kept(database: Database, keyring: Keyring, *texts: str) -> list[Entry]:
    """An entry for each text."""

    def work(connection: Connection) -> list[Entry]:
        folder = create_folder(connection, f"f-{uuid.uuid4()}")
        made = []
        for text in texts:
            new = Entry(str(uuid.uuid4()), folder.id, folder.path, text, EntryType.NOTE, None, None)
            made.append(add_version(connection, keyring, create_entry(connection, new), {"text": Secret(text)}, "test"))
        return made

    return await database.write(work)


async def run(database: Database, statement: Executable) -> None:
    await database.write(lambda connection: connection.execute(statement).close())


async def opened(database: Database, keyring: Keyring, entry: Entry) -> str:
    def work(connection: Connection) -> str:
        now = entry_in(connection, entry.id)
        return open_version(connection, keyring, now, now.version)["text"].reveal()

    return await database.read(work)


async def test_every_layer_opens_at_its_place_alone(database: Database) -> None:
    keyring = ring(new_master())
    one, two = await kept(database, keyring, "one", "two")
    assert await opened(database, keyring, one) == "one"
    sealed = {
        row.entry_id: row.sealed
        for row in await database.read(lambda connection: connection.execute(select(vault_fields)).all())
    }
    mine = vault_fields.c.entry_id == one.id
    for wrong in (sealed[two.id], sealed[one.id][:-1] + bytes([sealed[one.id][-1] ^ 1]), b""):
        await run(database, update(vault_fields).where(mine).values(sealed=wrong))
        with pytest.raises(SecretBroken):
            await opened(database, keyring, one)
    swap = update(vault_deks).values(
        wrapped=select(vault_deks.c.wrapped).where(vault_deks.c.entry_id == one.id).scalar_subquery()
    )
    await run(database, swap)
    with pytest.raises(SecretBroken):
        await opened(database, keyring, two)


async def login(database: Database, keyring: Keyring) -> Entry:
    """An entry with two fields, in its second version."""

    def work(connection: Connection) -> Entry:
        folder = create_folder(connection, f"f-{uuid.uuid4()}")
        new = Entry(str(uuid.uuid4()), folder.id, folder.path, "login", EntryType.PASSWORD, None, None)
        entry = create_entry(connection, new)
        for number in (1, 2):
            fields = {"username": Secret(f"user {number}"), "password": Secret(f"password {number}")}
            entry = add_version(connection, keyring, entry, fields, "test")
        return entry

    return await database.write(work)


async def versions(database: Database, keyring: Keyring, entry: Entry, number: int = 2) -> dict[str, str]:
    fields = await database.read(lambda connection: open_version(connection, keyring, entry, number))
    return {name: secret.reveal() for name, secret in fields.items()}


async def test_a_version_moved_to_another_one_does_not_open(database: Database) -> None:
    """With its data key, so that nothing but its place is wrong."""
    keyring = ring(new_master())
    entry = await login(database, keyring)
    assert await versions(database, keyring, entry) == {"username": "user 2", "password": "password 2"}
    mine, old = vault_versions.c.entry_id == entry.id, vault_versions.c.version == 1
    dek = select(vault_versions.c.dek_id).where(mine, old).scalar_subquery()
    await run(database, delete(vault_fields).where(vault_fields.c.version == 2))
    await run(database, update(vault_versions).where(mine, ~old).values(dek_id=dek))
    await run(database, update(vault_fields).where(vault_fields.c.version == 1).values(version=2))
    with pytest.raises(SecretBroken, match="version 2 does not open at its place"):
        await versions(database, keyring, entry)
    await run(database, update(vault_fields).where(vault_fields.c.version == 2).values(version=1))
    assert await versions(database, keyring, entry, 1) == {"username": "user 1", "password": "password 1"}


async def test_a_field_moved_to_another_one_does_not_open(database: Database) -> None:
    """As a user name is shown to many, and a password is not."""
    keyring = ring(new_master())
    entry = await login(database, keyring)
    name = vault_fields.c.field
    now = vault_fields.c.version == 2
    await run(database, delete(vault_fields).where(now, name == "username"))
    await run(database, update(vault_fields).where(now, name == "password").values(field="username"))
    with pytest.raises(SecretBroken, match="the field username"):
        await versions(database, keyring, entry)
    await run(database, update(vault_fields).where(now).values(field="password"))
    assert await versions(database, keyring, entry) == {"password": "password 2"}


@pytest.mark.parametrize("moved", ["version", "id", "wrapped"])
async def test_a_key_moved_to_another_row_does_not_open(database: Database, moved: str) -> None:
    master = new_master()
    keyring = ring(master)
    entry = await login(database, keyring)
    await VaultKeys(database, keyring).rotate()
    rows = await database.read(lambda connection: connection.execute(select(vault_keks)).all())
    first, second = sorted(rows, key=lambda row: row.version)
    mine = vault_keks.c.id == first.id
    other = {"version": 7, "id": str(uuid.uuid4()), "wrapped": second.wrapped}[moved]
    await run(database, update(vault_keks).where(mine).values({moved: other}))
    if moved == "id":
        await run(database, update(vault_deks).where(vault_deks.c.kek_id == first.id).values(kek_id=other))
        mine = vault_keks.c.id == other
    # Another process, as this one knows the key already.
    with pytest.raises(SecretBroken, match="does not open: it was changed"):
        await versions(database, ring(master), entry)
    await run(database, update(vault_keks).where(mine).values({moved: getattr(first, moved)}))
    await run(database, update(vault_deks).values(kek_id=first.id))
    assert (await versions(database, ring(master), entry))["password"] == "password 2"


async def test_a_node_with_another_master_key_is_named_and_opens_nothing(database: Database) -> None:
    right, wrong = new_master(), new_master()
    [entry] = await kept(database, ring(right), "one")
    other = ring(wrong)
    with pytest.raises(MasterKeyDiffers, match=f"{right.fingerprint}.*{wrong.fingerprint}"):
        await opened(database, other, entry)
    with pytest.raises(MasterKeyDiffers):
        await kept(database, other, "two")
    with pytest.raises(MasterKeyDiffers):
        await VaultKeys(database, other).rotate()
    assert (await VaultKeys(database, other).status()).fingerprint == wrong.fingerprint


async def test_many_nodes_that_begin_at_once_agree_on_one_key(database: Database) -> None:
    master = new_master()
    found = await asyncio.gather(*(kept(database, ring(master), "x") for _ in range(4)))
    for [entry] in found:
        assert await opened(database, ring(master), entry) == "x"
    assert await _count(database) == 1


async def test_readers_go_on_while_keys_change_and_the_work_may_be_broken_off(database: Database) -> None:
    master = new_master()
    keyring, keys = ring(master), VaultKeys(database, ring(master))
    entries = await kept(database, keyring, *(f"secret {number}" for number in range(30)))
    assert await keys.rotate() == 2

    async def read() -> None:
        for entry in entries * 3:
            assert await opened(database, keyring, entry) == entry.name

    async def change() -> None:
        after = ""
        for _ in range(2):  # broken off after 10
            after = await database.write(partial(keyring.rewrap, after=after, count=5))
        await keys.follow()

    await asyncio.gather(read(), change())
    new = await kept(database, keyring, "new")
    standing = (await keys.status()).standing
    assert [(row.version, row.state, row.deks) for row in standing.keks] == [(2, "active", 31), (1, "retired", 0)]
    assert await opened(database, ring(master), new[0]) == "new"
    assert "vault.kek-retire" in await acts(database)


async def test_the_master_key_changes_while_all_nodes_know_both(database: Database) -> None:
    old, new = new_master(), new_master()
    [entry] = await kept(database, ring(old), "one")
    begun = ring(old, coming=(new,))
    assert await opened(database, begun, entry) == "one"
    switched = ring(new, gone=(old,))
    await VaultKeys(database, switched).follow()
    for keyring in (switched, begun, ring(new)):
        assert await opened(database, keyring, entry) == "one"
    with pytest.raises(MasterKeyDiffers):
        await opened(database, ring(old), entry)
    assert "vault.mek-change" in await acts(database)


async def test_what_lacks_its_key_says_so_and_the_rest_goes_on(database: Database) -> None:
    keyring = ring(new_master())
    [lost] = await kept(database, keyring, "lost")
    await VaultKeys(database, keyring).rotate()
    [there] = await kept(database, keyring, "there")
    gone = delete(vault_keks).where(vault_keks.c.version == 1)
    await run(database, gone)
    with pytest.raises(VaultKeyGone):
        await opened(database, keyring, lost)
    assert await opened(database, keyring, there) == "there"
    await VaultKeys(database, keyring).follow()
    assert await opened(database, keyring, there) == "there"


async def _count(database: Database) -> int:
    wanted = select(func.count()).select_from(vault_keks)
    return await database.read(lambda connection: connection.execute(wanted).scalar_one())


def test_a_master_key_is_read_again_after_a_second() -> None:
    class Clock(SystemClock):
        at = 0

        def now(self) -> Instant:
            return Instant(self.at)

    clock, keys = Clock(), [new_master(), new_master()]
    reader = MasterKeys(lambda: Masters(keys[0]), clock)
    assert reader().own == keys[0]
    keys.reverse()
    assert reader().own == keys[1]
    clock.at = 1_000_000
    assert reader().own == keys[0]
