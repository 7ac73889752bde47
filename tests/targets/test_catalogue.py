"""Lists of thousands on both databases: every page in its order, and none that reads what lies before it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, select, text, update

from benchmarks.catalogue import ADMIN, FOLDERS, filled
from rppam.access.accounts.model import AccountRole
from rppam.access.sessions.model import Identity, SessionKind
from rppam.db.database import Database
from rppam.requests.vault_grants import VaultGrants
from rppam.targets.model import Search
from rppam.targets.store import SqlResources, SqlTargetAccounts
from rppam.targets.tables import resources, target_accounts
from rppam.vault.model import Search as EntrySearch
from rppam.vault.service import Vault
from rppam.vault.tables import vault_entries, vault_folders, vault_rights
from tests.vault.test_sealing import new_master, ring

pytestmark = [pytest.mark.integration, pytest.mark.server]
ROWS = 4_000
SIZE = 37
LAST = -(-ROWS // SIZE)
BIG = ("resources", "target_accounts", "vault_entries")
USER = Identity("carl", "id-carl", frozenset({AccountRole.USER}), "s", SessionKind.LOGIN, mfa=False)


@pytest.fixture
async def catalogue(database: Database) -> Database:
    await filled(database, ROWS)
    return database


def vault_of(database: Database) -> Vault:
    return Vault(database, ring(new_master()), VaultGrants)


async def column(database: Database, wanted: Any) -> list[str]:
    return await database.read(lambda connection: list(connection.scalars(wanted)))


def chunks(of: list[str]) -> list[list[str]]:
    return [of[start : start + SIZE] for start in range(0, len(of), SIZE)]


async def test_pages_follow_each_other_from_the_first_to_the_last(catalogue: Database) -> None:
    targets, accounts, vault = SqlResources(catalogue), SqlTargetAccounts(catalogue), vault_of(catalogue)
    named = await column(catalogue, select(resources.c.id).order_by(resources.c.name_key))
    on = target_accounts.join(resources, target_accounts.c.resource_id == resources.c.id)
    ordered = select(target_accounts.c.id).select_from(on).order_by(target_accounts.c.name, resources.c.name_key)
    known = await column(catalogue, ordered)
    lie = vault_entries.join(vault_folders, vault_entries.c.folder_id == vault_folders.c.id)
    kept = select(vault_entries.c.id).select_from(lie).order_by(vault_folders.c.path, vault_entries.c.name)
    entries = await column(catalogue, kept)
    for number in (*range(1, LAST + 2, 6), LAST - 1, LAST, LAST + 1):
        search = Search(number, SIZE)
        for store, expected in ((targets, named), (accounts, known)):
            page = await store.page(search)
            assert [one.id for one in page.items] == ([*chunks(expected), []])[number - 1], number
            assert page.total == ROWS
        found, total = await vault.page(ADMIN, EntrySearch(number, SIZE))
        assert [one.entry.id for one in found] == ([*chunks(entries), []])[number - 1], number
        assert total == ROWS


async def test_somebody_sees_the_folders_that_he_has_a_right_on(catalogue: Database) -> None:
    vault = vault_of(catalogue)
    given = {"folder_id": "f-3", "subject_kind": "role", "subject_id": "pam_user", "right_name": "use"}
    await catalogue.write(lambda connection: connection.execute(vault_rights.insert().values(**given)).close())
    expected = await column(
        catalogue, select(vault_entries.c.id).where(vault_entries.c.folder_id == "f-3").order_by(vault_entries.c.name)
    )
    assert len(expected) == ROWS // FOLDERS
    for size in (3, 7, 100):
        pages = [await vault.page(USER, EntrySearch(number, size)) for number in (1, 2, 3, 40)]
        assert [one.entry.id for found, _ in pages for one in found] == [*expected[: 3 * size]]
        assert {total for _, total in pages} == {len(expected)}
    below = EntrySearch(page_size=100, folder="servers/hall-003", text="ON HOST")
    assert [one.entry.id for one in (await vault.page(ADMIN, below))[0]] == expected
    assert (await vault.page(USER, EntrySearch(folder="servers/hall-005")))[1] == 0
    assert (await vault.page(USER, EntrySearch(text="hall-003")))[1] == len(expected)


async def test_what_is_searched_is_found_in_any_case(catalogue: Database) -> None:
    targets, accounts = SqlResources(catalogue), SqlTargetAccounts(catalogue)
    for words, count in (("HOST-00001", 10), ("sERVER 39 ", 1), ("10.0.0.77", 1), ("of a HALL", ROWS), ("%", 0)):
        page = await targets.page(Search(page_size=5, text=words))
        assert (page.total, len(page.items)) == (count, min(5, count)), words
    assert [one.name for one in (await targets.page(Search(2, 5, "ost-00001"))).items] == [
        f"host-{number:06d}" for number in range(15, 20)
    ]
    assert (await accounts.page(Search(text="OST-00001"))).total == 10
    assert (await accounts.page(Search(text="ROOT"))).total == ROWS


async def test_an_account_is_listed_by_the_new_name_of_its_resource(catalogue: Database) -> None:
    accounts = SqlTargetAccounts(catalogue)
    [first] = (await accounts.page(Search(1, 1))).items
    assert first.resource_name == "host-000000"
    last = {"name": "Zoo", "name_key": "zoo"}
    renamed = update(resources).where(resources.c.id == first.resource_id).values(**last)
    await catalogue.write(lambda connection: connection.execute(renamed).close())
    [found] = (await accounts.page(Search(ROWS, 1))).items
    assert (found.id, found.resource_name) == (first.id, "Zoo")


@contextmanager
def asked(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are run meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(database._engine, "before_cursor_execute", note)
    yield seen
    event.remove(database._engine, "before_cursor_execute", note)


def plan(connection: Connection, statement: str, parameters: Any) -> str:
    how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    rows = connection.exec_driver_sql(f"{how} {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


_READS_ALL = re.compile(rf"(Seq Scan on|SCAN) ({'|'.join(BIG)})\b(?! USING)|USE TEMP B-TREE|Sort Key")


@pytest.mark.parametrize("number", [1, LAST // 2, LAST])
async def test_a_page_is_found_by_an_index_wherever_it_lies(catalogue: Database, number: int) -> None:
    await catalogue.write(lambda connection: connection.execute(text("ANALYZE")).close())
    with asked(catalogue) as seen:
        await SqlResources(catalogue).page(Search(number, SIZE))
        await SqlTargetAccounts(catalogue).page(Search(number, SIZE))
        await vault_of(catalogue).page(ADMIN, EntrySearch(number, SIZE))
    asks = [(one, given) for one, given in seen if "ORDER BY" in one and any(f" {table}" in one for table in BIG)]
    assert len(asks) == (6 if number == LAST // 2 else 3), "where the page begins, and its rows"
    for ask in asks:
        how = await catalogue.read(lambda connection, ask=ask: plan(connection, *ask))  # type: ignore[misc]
        assert not _READS_ALL.search(how), f"{ask}\n{how}"
        assert re.search(r"(?i)index", how), f"{ask}\n{how}"
    slow = "SELECT id FROM resources ORDER BY description LIMIT 5"
    how = await catalogue.read(lambda connection: plan(connection, slow, ()))
    assert _READS_ALL.search(how), f"what this test looks for is not seen in {how}"


async def test_a_rare_word_is_found_by_its_trigrams(catalogue: Database) -> None:
    if catalogue._engine.dialect.name == "sqlite":
        pytest.skip("SQLite looks at every row: a third of a microsecond each")
    await catalogue.write(lambda connection: connection.execute(text("ANALYZE")).close())
    with asked(catalogue) as seen:
        assert (await SqlResources(catalogue).page(Search(text="Ost-00123"))).total == 10
        assert (await SqlTargetAccounts(catalogue).page(Search(text="Ost-00123"))).total == 10
        assert (await vault_of(catalogue).page(ADMIN, EntrySearch(text="Ost-00123")))[1] == 10
    asks = [ask for ask in seen if "ILIKE" in ask[0]]

    def explain(connection: Connection) -> list[str]:
        # Of so few rows all are looked at as soon; of a hundred thousand they are not.
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        return [plan(connection, *ask) for ask in asks]

    plans = await catalogue.read(explain)
    assert [re.findall(r"ix_trgm_(\w+)", how)[:1] for how in plans] == [[table] for table in BIG], plans


async def test_without_the_extension_everything_is_found_as_well(postgresql_url: str, open_database: Any) -> None:
    database = await open_database(postgresql_url)
    await filled(database, 40)
    await database.write(lambda connection: connection.execute(text("DROP EXTENSION pg_trgm CASCADE")).close())
    assert (await SqlResources(database).page(Search(text="Ost-00001"))).total == 10
