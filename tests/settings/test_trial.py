"""What a host says of values of settings that name something of it."""

import asyncio
from pathlib import Path

import pytest

import rppam.app.slices  # noqa: F401 - declares the settings
from rppam.recordings.policy import STORE, StorePolicy
from rppam.settings import trial
from rppam.settings.model import Setting
from rppam.settings.registry import SETTINGS


def store(folder: Path) -> dict[str, object]:
    return {STORE.name: {"store": "dir", "folder": str(folder)}}


async def test_a_folder_that_is_there_is_taken_and_nothing_stays_in_it(tmp_path: Path) -> None:
    assert await trial.why_unfit(store(tmp_path)) == ""
    assert await asyncio.to_thread(lambda: list(tmp_path.iterdir())) == []
    assert await trial.why_unfit({STORE.name: {"store": "sql"}}) == ""


async def test_a_folder_that_is_not_there_is_refused_with_its_setting(tmp_path: Path) -> None:
    told = await trial.why_unfit(store(tmp_path / "none"))
    assert told.startswith("recordings/store: folder: expected a folder of every node that rppam may write to, found:")
    assert f"{tmp_path}/none is not there: is the share mounted on this node?" in told


async def test_a_folder_that_takes_nothing_is_refused() -> None:
    assert "the folder /proc: " in await trial.why_unfit(store(Path("/proc")))


async def test_what_cannot_be_read_is_refused_and_all_are_told() -> None:
    told = await trial.why_unfit({"no/such": {}, "security/sessions": {"idleMinutes": 0}, **store(Path("/proc"))})
    assert [one.partition(":")[0] for one in told.split("; ")] == ["no/such", "security/sessions", STORE.name]


async def test_a_host_that_hangs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_value: StorePolicy) -> list[str]:
        await asyncio.sleep(60)
        return []

    hanging = Setting(STORE.name, "", STORE.default, STORE.read, STORE.write, trial=hang)
    monkeypatch.setitem(SETTINGS._all(), STORE.name, hanging)
    monkeypatch.setattr(trial, "WITHIN_S", 0.05)
    assert "recordings/store: this host had not tried it within 0.05 s" in await trial.why_unfit(store(Path("/tmp")))


def test_only_what_a_host_decides_is_tried(tmp_path: Path) -> None:
    assert trial.to_try({"security/sessions": {"idleMinutes": 1}, "no/such": {}, **store(tmp_path)}) == store(tmp_path)
