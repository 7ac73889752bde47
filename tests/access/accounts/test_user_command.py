"""``rppam user`` against a real database, with no node and no Redis running."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rppam.access.accounts.errors import InvalidCredentials
from rppam.access.accounts.model import Account, AccountRole, StoredAccount
from rppam.access.accounts.passwords import Passwords
from rppam.access.accounts.service import Accounts
from rppam.access.accounts.store import SqlAccounts
from rppam.access.lockouts.model import LockoutPolicy, address_suspect, user_suspect
from rppam.access.lockouts.store import SqlLockouts
from rppam.access.mfa.store import SqlFactors
from rppam.access.passkeys.store import Passkey, SqlPasskeys
from rppam.access.sessions.model import NewSession, SessionKind
from rppam.access.sessions.store import SqlSessions
from rppam.kernel.instant import WallMs
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.ledger.store import Query, SqlLedger
from tests.support import prefork

pytestmark = pytest.mark.integration


def rppam(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return prefork.run("user", *words)


def config_for(url: str, home: Path) -> Path:
    config = home / "rppam.config"
    config.write_text(json.dumps({"node": {"dataDir": str(home)}, "database": {"url": url}}))
    config.chmod(0o600)
    return config


async def test_a_lost_password_is_replaced_on_the_host(
    url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    config = config_for(url, tmp_path)
    passwords = Passwords()
    accounts = Accounts(SqlAccounts(await open_database(url)), passwords, SystemClock())
    first = await accounts.ensure_first_admin()
    assert first is not None
    left_behind = tmp_path / "first-admin-password"
    left_behind.write_text("what the first start left")
    reset = rppam("reset-password", "--config", config)
    assert reset.returncode == 0, reset.stderr
    assert not left_behind.exists(), "it is not the password any more"
    assert reset.stderr.splitlines() == ["The new password of admin (it is shown only now):"], "said once"
    password = Secret(reset.stdout.strip())
    assert len(password) >= 20
    assert (await accounts.login("admin", password, "test")).name == "admin"
    with pytest.raises(InvalidCredentials):
        await accounts.login("admin", first.password, "test")
    again = rppam("reset-password", "ADMIN", "--config", config, "--json")
    assert again.returncode == 0, again.stderr
    said = json.loads(again.stdout)
    assert said["name"] == "admin"
    assert (await accounts.login("admin", Secret(said["password"]), "test")).name == "admin"
    passwords.close()
    listed = json.loads(rppam("list", "--config", config, "--json").stdout)["items"]
    assert [(user["name"], user["roles"], user["disabled"]) for user in listed] == [("admin", ["pam_admin"], False)]
    assert "admin" in rppam("list", "--config", config).stdout


def test_mistakes_are_named(sqlite_url: str, tmp_path: Path) -> None:
    config = config_for(sqlite_url, tmp_path)
    unknown = rppam("reset-password", "nobody", "--config", config)
    assert unknown.returncode == 2
    assert unknown.stdout == ""
    assert "no account is named 'nobody'" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    impossible = rppam("reset-password", "no name", "--config", config, "--json")
    assert impossible.returncode == 2
    assert "a user name is" in impossible.stderr
    assert rppam("list", "--config", tmp_path / "nowhere").returncode == 78
    assert rppam("list", "--config", config).returncode == 0


def test_a_database_that_is_away_is_said_in_a_sentence(tmp_path: Path) -> None:
    from tests.support.ports import free_port

    config = config_for(f"postgresql://rppam:hush-hush@127.0.0.1:{free_port()}/rppam", tmp_path)
    away = rppam("list", "--config", config, "--json")
    assert away.returncode == 1
    assert "the database cannot be used" in away.stderr
    assert "Traceback" not in away.stderr
    assert "hush" not in away.stderr


async def test_an_account_is_shut_out_let_in_and_freed_of_a_lost_phone(
    url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    config, database = config_for(url, tmp_path), await open_database(url)
    users = SqlAccounts(database)
    for name, role in (("root", AccountRole.ADMIN), ("anna", AccountRole.USER)):
        account = Account(f"id-{name}", name, name, frozenset({role}), False, WallMs(1), WallMs(2))
        await users.create(StoredAccount(account, Secret("-")))
    factors = SqlFactors(database)
    assert await factors.propose("id-anna", "sealed")
    assert await factors.confirm("id-anna", "sealed", 7, ["a-hash"], None) is not None
    listed = json.loads(rppam("list", "--config", config, "--json").stdout)["items"]
    assert [(user["name"], user["mfaEnrolled"]) for user in listed] == [("anna", True), ("root", False)]
    last = rppam("disable", "root", "--config", config)
    assert (last.returncode, last.stdout) == (2, "")
    assert "root is the last enabled account with the role pam_admin" in last.stderr
    off = rppam("disable", "ANNA", "--config", config, "--json")
    assert json.loads(off.stdout) == {"name": "anna", "disabled": True, "mfaEnrolled": True}
    assert (await users.get("id-anna")).account.auth_epoch == 2, "its sessions have ended"
    on = rppam("enable", "anna", "--config", config)
    assert (on.returncode, on.stdout) == (0, "anna may sign in\n")
    reset = rppam("reset-mfa", "anna", "--config", config)
    assert (reset.returncode, reset.stdout) == (0, "anna has no second factor any more; its sessions end\n")
    account = (await users.get("id-anna")).account
    assert (account.disabled, account.has_mfa, account.auth_epoch) == (False, False, 3)
    assert await factors.codes_left("id-anna") == 0
    await users.delete("id-anna")
    assert "deleted" in rppam("list", "--config", config).stdout
    for words in (("enable", "anna"), ("disable", "nobody"), ("reset-mfa", "nobody")):
        gone = rppam(*words, "--config", config)
        assert gone.returncode == 2
        assert f"no account is named {words[1]!r}" in gone.stderr


async def test_lost_passkeys_are_shown_and_taken_away(
    url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    config, database = config_for(url, tmp_path), await open_database(url)
    users, passkeys = SqlAccounts(database), SqlPasskeys(database)
    anna = Account("id-anna", "anna", "", frozenset({AccountRole.USER}), False, WallMs(1), WallMs(1))
    await users.create(StoredAccount(anna, Secret("-")))
    assert rppam("passkeys", "anna", "--config", config).stderr == "anna has no passkey\n"
    await passkeys.add(Passkey("k1", "id-anna", "phone", "pam.example.com", b"key", 0, WallMs(0), None))
    shown = rppam("passkeys", "anna", "--config", config)
    assert shown.returncode == 0
    assert "phone  pam.example.com  added " in shown.stdout
    assert "never used" in shown.stdout
    done = json.loads(rppam("passkeys", "ANNA", "--reset", "--config", config, "--json").stdout)
    assert (done["name"], done["reset"], [one["name"] for one in done["passkeys"]]) == ("anna", True, ["phone"])
    assert await passkeys.of_user("id-anna") == []
    assert (await users.get("id-anna")).account.auth_epoch == 2, "its sessions have ended"
    assert rppam("passkeys", "nobody", "--config", config).returncode == 2


async def test_who_is_locked_is_shown_and_unlocked_on_the_host(
    url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    config = config_for(url, tmp_path)
    database = await open_database(url)
    lockouts = SqlLockouts(database)
    anna = Account("1", "anna", "", frozenset({AccountRole.ADMIN}), False, WallMs(1), WallMs(1))
    await SqlAccounts(database).create(StoredAccount(anna, Secret("x")))
    assert rppam("locked", "--config", config).stderr == "Nobody is locked.\n"
    for suspect in (user_suspect("anna"), user_suspect("who is this"), address_suspect("2001:db8::7")):
        await lockouts.lock(suspect, LockoutPolicy())
    shown = rppam("locked", "--config", config).stdout
    assert all(text in shown for text in ("anna", "(a name that no account has)", "2001:db8::/64"))
    listed = json.loads(rppam("locked", "--config", config, "--json").stdout)["items"]
    assert {(one["kind"], one["name"]) for one in listed} == {
        ("user", "anna"), ("user", None), ("address", "2001:db8::/64"),
    }  # fmt: skip
    for name in ("ANNA", "2001:db8::/64"):
        assert rppam("unlock", name, "--config", config).stderr == f"{name} is unlocked.\n"
    assert json.loads(rppam("unlock", "anna", "--config", config, "--json").stdout)["wasLocked"] is False
    assert [one.shown for one in await lockouts.all(10)] == [""]


def test_accounts_are_made_and_changed_and_their_sessions_ended(sqlite_url: str, tmp_path: Path) -> None:
    config = config_for(sqlite_url, tmp_path)
    (tmp_path / "typed").write_text("seven ripe quinces in a bowl\n")
    made = rppam("add", "Jane", "--role", "pam_user", "--role", "pam_approver", "--config", config, "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["name"], told["roles"], len(told["password"])) == ("jane", ["pam_approver", "pam_user"], 27)
    assert rppam("add", "jane", "--config", config).returncode == 2
    own = rppam("add", "joe", "--password-file", tmp_path / "typed", "--config", config)
    assert (own.returncode, own.stdout) == (0, ""), own.stderr
    assert "the roles pam_user" in own.stderr
    (tmp_path / "empty").write_text("\n")
    empty = rppam("add", "ann", "--password-file", tmp_path / "empty", "--config", config)
    assert (empty.returncode, "found a file without any" in empty.stderr) == (2, True)
    absent = rppam("add", "ann", "--password-file", tmp_path / "absent", "--config", config)
    assert (absent.returncode, "found: No such file or directory" in absent.stderr) == (2, True)
    wanted = ("--add", "pam_admin", "--remove", "pam_user")
    assert rppam("roles", "jane", *wanted, "--config", config).stdout == "pam_admin\npam_approver\n"
    assert rppam("roles", "jane", "--config", config).stdout == "pam_admin\npam_approver\n"
    last = rppam("roles", "jane", "--set", "pam_auditor", "--config", config)
    assert (last.returncode, "the last enabled account" in last.stderr) == (2, True)
    assert rppam("password", "jane", "--config", config).returncode == 2, "there is no terminal, and no file"
    changed = rppam("password", "jane", "--password-file", tmp_path / "typed", "--config", config)
    assert changed.returncode == 0, changed.stderr


async def test_an_account_may_log_in_from_some_networks_alone(
    url: str, tmp_path: Path, open_database: Callable[..., Any]
) -> None:
    config = config_for(url, tmp_path)
    database, passwords = await open_database(url), Passwords()
    accounts = Accounts(SqlAccounts(database), passwords, SystemClock())
    first = await accounts.ensure_first_admin()
    assert first is not None
    done = rppam("allow-from", "admin", "10.2.0.0/16", "fd00::/8", "10.2.0.0/16", "--config", config, "--json")
    assert json.loads(done.stdout)["allowedFrom"] == ["10.2.0.0/16", "fd00::/8"], done.stderr
    for client in ("10.2.3.4", "::ffff:10.2.3.4", "fd00::1%eth0"):
        assert (await accounts.login("admin", first.password, client)).name == "admin"
    for client in ("10.3.0.1", "fe80::1", "unknown", ""):
        with pytest.raises(InvalidCredentials):
            await accounts.login("admin", first.password, client)
    refused = await SqlLedger(database).events(Query(action="login.fail", placed=False))
    assert {json.loads(one.text)["reason"] for one in refused} == {"the account may not log in from this address"}
    (listed,) = json.loads(rppam("list", "--config", config, "--json").stdout)["items"]
    assert listed["allowedFrom"] == ["10.2.0.0/16", "fd00::/8"]
    said = rppam("allow-from", "admin", "--anywhere", "--config", config)
    assert said.stdout == "admin may log in from anywhere\n", said.stderr
    assert (await accounts.login("admin", first.password, "10.3.0.1")).name == "admin"
    passwords.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["10.2.0.1/16"], "it has bits behind its prefix"),
        (["office"], "it is no address and no network"),
        ([f"10.0.{number}.0/24" for number in range(33)], "at most 32 networks"),
        ([], "expected networks such as"),
        (["10.2.0.0/16", "--anywhere"], "expected networks such as"),
    ],
)
def test_what_is_no_network_is_refused(sqlite_url: str, tmp_path: Path, words: list[str], why: str) -> None:
    done = rppam("allow-from", "admin", *words, "--config", config_for(sqlite_url, tmp_path))
    assert done.returncode == 2
    assert why in done.stderr


async def test_sessions_are_shown_and_ended(url: str, tmp_path: Path, open_database: Callable[..., Any]) -> None:
    config = config_for(url, tmp_path)
    database = await open_database(url)
    users, passwords = SqlAccounts(database), Passwords()
    accounts = Accounts(users, passwords, SystemClock())
    jane, _ = await accounts.create("jane", "", frozenset({AccountRole.USER}))
    passwords.close()
    store = SqlSessions(database)
    who = ("a-1", "hash-1", jane.id, "jane", SessionKind.LOGIN, jane.auth_epoch)
    new = NewSession(*who, mfa=False, life_ms=60_000, idle_ms=60_000, client="10.0.0.9", agent="curl", node="node1")
    for number in (1, 2, 3):
        await store.open(new._replace(id=f"a-{number}", token_hash=f"hash-{number}"))
    listed = json.loads(rppam("sessions", "ls", "jane", "--config", config, "--json").stdout)["items"]
    assert [(one["id"], one["user"], one["client"]) for one in listed] == [
        (f"a-{number}", "jane", "10.0.0.9") for number in (3, 2, 1)
    ]
    assert "10.0.0.9" in rppam("sessions", "ls", "--config", config).stdout
    assert json.loads(rppam("sessions", "end", "a-2", "--config", config, "--json").stdout) == {"ended": 1}
    assert json.loads(rppam("sessions", "end", "a-2", "--config", config, "--json").stdout) == {"ended": 0}
    assert json.loads(rppam("sessions", "end", "--user", "jane", "--config", config, "--json").stdout) == {"ended": 2}
    assert (await users.get(jane.id)).account.auth_epoch > jane.auth_epoch
    assert rppam("sessions", "end", "--config", config).returncode == 2
    assert "2 session" not in rppam("sessions", "end", "--all", "--config", config).stderr
    assert "Nobody is signed in" in rppam("sessions", "ls", "--config", config).stderr
