"""``rppam user`` against a real database, with no node and no Redis running."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rppam.adapters.sql.accounts import SqlAccounts
from rppam.adapters.system.clock import SystemClock
from rppam.domain.errors.accounts import InvalidCredentials
from rppam.domain.secret import Secret
from rppam.services.accounts import Accounts
from rppam.services.passwords import Passwords


def rppam(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rppam", "user", *map(str, words)], capture_output=True, text=True, check=False
    )


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
    listed = json.loads(rppam("list", "--config", config, "--json").stdout)["users"]
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
    from tests.integration.sql.postgres import free_port

    config = config_for(f"postgresql://rppam:hush-hush@127.0.0.1:{free_port()}/rppam", tmp_path)
    away = rppam("list", "--config", config, "--json")
    assert away.returncode == 1
    assert "the database cannot be used" in away.stderr
    assert "Traceback" not in away.stderr
    assert "hush" not in away.stderr
