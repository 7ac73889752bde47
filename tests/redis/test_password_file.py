"""A password in a file that cannot be read for a while: told while it is so, and read as soon as it can be."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.redis.password_file import PasswordFile
from tests.support.late_threads import LateThreads

OLD, NEW = Secret("the-password-of-before"), Secret("the-password-that-is-to-come")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "redis.password").write_text(OLD.reveal())
    return tmp_path / "etc" / "redis.password"


@pytest.fixture
async def held(path: Path) -> PasswordFile:
    """One that was read, and with which Redis let this process in."""
    made = PasswordFile(path, OLD, SystemClock())
    await made.prove(None, 100)
    connection: Any = SimpleNamespace(target=SimpleNamespace(password=OLD))
    made.entered(connection)
    assert made.problem == ""
    return made


def write(path: Path, text: str) -> None:
    path.write_text(text)


def move(folder: Path, name: str) -> Path:
    return folder.rename(folder.with_name(name))


async def test_a_file_that_is_back_unchanged_is_no_problem_any_more(held: PasswordFile, path: Path) -> None:
    away = move(path.parent, "away")
    await held.prove(None, 100)
    assert "cannot be read any more (No such file or directory)" in held.problem
    move(away, "etc")
    await held.prove(None, 100)
    assert held.problem == ""


async def test_what_else_is_wrong_goes_on_being_said(held: PasswordFile, path: Path) -> None:
    write(path, "")
    await held.prove(None, 100)
    assert "is empty or too long" in held.problem
    away = move(path.parent, "away")
    await held.prove(None, 100)
    assert "cannot be read any more" in held.problem
    move(away, "etc")
    await held.prove(None, 100)
    assert "is empty or too long" in held.problem, "it still is"
    held._report("Redis refuses it")
    write(path, OLD.reveal() + "\n")
    await held.prove(None, 100)
    assert held.problem == "", "and now it is the one that works"


async def test_another_problem_is_not_forgotten_with_that_of_reading(held: PasswordFile) -> None:
    held._report("Redis refuses it")
    await held.prove(None, 100)
    assert held.problem == "Redis refuses it"


async def test_a_host_that_starts_no_thread_ends_no_look(
    held: PasswordFile, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_default_executor(LateThreads(refuses=2))
    write(path, NEW.reveal())
    assert await held.candidates() == (OLD,)
    await held.prove(None, 100)
    assert "redis.password: " in held.problem
    assert "RuntimeError: can't start new thread" in held.problem
    assert caplog.text.count("can't start new thread") == 1, "told once"
    assert await held.candidates() == (NEW, OLD)
    assert held.problem == "", "what was read is no problem of reading any more"
