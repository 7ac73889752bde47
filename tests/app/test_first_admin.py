"""The first administrator's password: on disk before there is an account, shown once, and never lost in between."""

import asyncio
import errno
import logging
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from rppam.access.accounts.first_password import WAITING, FirstPasswordFile
from rppam.access.accounts.model import StoredAccount
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.mfa.model import MfaRequirement
from rppam.access.mfa.policy import MFA
from rppam.app import node as compose_node
from rppam.app.new_cluster import first_log_in, initial_settings
from rppam.app.node import Node, open_database
from rppam.cluster.driver.datadir import DataDir
from rppam.cluster.errors import DataDirUnusable
from rppam.db.database import Database
from rppam.db.errors import DatabaseUnknown
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.settings.hot import value_in_sql
from rppam.settings.store import SqlSettingsStore
from tests.support.parsing import parse
from tests.support.shelf import Shelf, Still


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in folder.iterdir()}


async def test_the_first_password_is_on_disk_before_the_account_is_made(
    accounts: Accounts, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    create = shelf.create_first

    async def create_first(stored: StoredAccount, _settings: object) -> bool:
        seen.append(files_in(tmp_path))
        return await create(stored)

    monkeypatch.setattr(shelf, "create_first", create_first)
    first = await accounts.ensure_first_admin(FirstPasswordFile(tmp_path))
    assert first is not None
    assert seen == [{WAITING: first.password.reveal()}]
    assert stat.S_IMODE((tmp_path / WAITING).stat().st_mode) == 0o600
    assert FirstPasswordFile(tmp_path).show() == tmp_path / "first-admin-password"
    assert files_in(tmp_path) == {"first-admin-password": first.password.reveal()}
    assert await accounts.ensure_first_admin(FirstPasswordFile(tmp_path)) is None


async def test_a_password_that_cannot_be_kept_makes_no_account(
    accounts: Accounts, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(DataDirUnusable, match=r"No space left on device\. Make room there"):
            await accounts.ensure_first_admin(FirstPasswordFile(tmp_path))
    assert shelf.by_name == {}
    # What was left there, whomever it belongs to, is replaced.
    (tmp_path / WAITING).chmod(0o000)
    first = await accounts.ensure_first_admin(FirstPasswordFile(tmp_path))
    assert first is not None
    assert files_in(tmp_path) == {WAITING: first.password.reveal()}


async def test_a_node_that_ended_before_the_password_was_shown_shows_it_at_its_next_start(
    shelf: Shelf, passwords: Passwords, clock: Still, tmp_path: Path
) -> None:
    first = await Accounts(shelf, passwords, clock).ensure_first_admin(FirstPasswordFile(tmp_path))
    again = await Accounts(shelf, passwords, clock).ensure_first_admin(FirstPasswordFile(tmp_path))
    assert first is not None
    assert again == first
    FirstPasswordFile(tmp_path).show()
    assert await Accounts(shelf, passwords, clock).ensure_first_admin(FirstPasswordFile(tmp_path)) is None


async def test_a_commit_whose_answer_was_lost_loses_no_password(
    accounts: Accounts, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[StoredAccount] = []

    async def lost(stored: StoredAccount, _settings: object) -> bool:
        late.append(stored)
        raise DatabaseUnknown("no answer")

    with monkeypatch.context() as network:
        network.setattr(shelf, "create_first", lost)
        with pytest.raises(DatabaseUnknown):
            await accounts.ensure_first_admin(FirstPasswordFile(tmp_path))
    create = shelf.create_first

    async def too_late(stored: StoredAccount, _settings: object) -> bool:
        assert await create(late[0]), "the first try is carried out just before the second"
        return await create(stored)

    monkeypatch.setattr(shelf, "create_first", too_late)
    first = await accounts.ensure_first_admin(FirstPasswordFile(tmp_path))
    assert first is not None
    assert (await accounts.login("admin", first.password, "here")).id == late[0].account.id


async def test_where_another_node_was_faster_no_password_is_left_behind(
    shelf: Shelf, passwords: Passwords, clock: Still, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        folder.mkdir()
    made = await asyncio.gather(
        *(Accounts(shelf, passwords, clock).ensure_first_admin(FirstPasswordFile(folder)) for folder in folders)
    )
    (first,) = (one for one in made if one is not None)
    left = [text for folder in folders for text in files_in(folder).values()]
    assert left == [first.password.reveal()]
    (folders[0] / WAITING).write_text("half a pass")
    await shelf.set_password(
        shelf.by_name["admin"].account.id, await passwords.hash(Secret("another one")), WallMs(2_000)
    )
    for folder in folders:
        assert await Accounts(shelf, passwords, clock).ensure_first_admin(FirstPasswordFile(folder)) is None
        assert files_in(folder) == {}


async def test_a_full_disk_delays_the_first_administrator_and_ends_no_process(
    accounts: Accounts, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compose_node, "DATABASE_RETRY_S", 0.01)
    caplog.set_level(logging.INFO)
    real, tries = os.fsync, 0

    def full_at_first(descriptor: int) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_first)
    data_dir = DataDir(tmp_path / "data")
    node = cast("Node", SimpleNamespace(_accounts=accounts, _data_dir=data_dir, settings=parse({})))
    database = Database(f"sqlite:///{tmp_path / 'db'}", 10_000)
    try:
        await open_database(database, lambda: Node._make_first_admin(node))
    finally:
        await database.stop()
        data_dir.close()
    password = (data_dir.path / "first-admin-password").read_text().strip()
    assert (await accounts.login("admin", Secret(password), "here")).name == "admin"
    assert caplog.text.count("the first administrator cannot be seen to yet") == 1
    assert "the database does not answer" not in caplog.text
    assert password not in caplog.text


async def test_a_new_cluster_asks_administrators_for_a_second_factor_and_an_older_one_goes_on(
    sqlite_url: str, passwords: Passwords, tmp_path: Path
) -> None:
    database = Database(sqlite_url, 5_000)
    await database.start()
    accounts, settings = Accounts(SqlAccounts(database), passwords, Still()), SqlSettingsStore(database)
    config = {"node": {"dataDir": str(tmp_path)}}
    first = initial_settings(parse(config))
    assert "enrols a second factor" in first_log_in(first)
    assert await accounts.ensure_first_admin(None, first) is not None
    assert (await value_in_sql(settings, MFA)).requirement is MfaRequirement.ADMINS
    optional = initial_settings(parse({**config, "settings": {MFA.name: {"mfaRequirement": "optional"}}}))
    assert (optional, "No second factor" in first_log_in(optional)) == ({}, True)
    other = {MFA.name: '{"mfaRequirement": "disabled"}'}
    assert await accounts.ensure_first_admin(None, other) is None
    assert (await value_in_sql(settings, MFA)).requirement is MfaRequirement.ADMINS, "accounts were there"
    await database.stop()
