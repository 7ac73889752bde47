"""Recordings are deleted when their time is over, unless somebody holds them; and what was said in them is found."""

import asyncio
import json
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update

from rppam.access.accounts.model import AccountRole
from rppam.cluster.health.ports import Authority, Leadership
from rppam.foundation import Foundation
from rppam.kernel.actor import NODE
from rppam.recordings.ending import Ending, SqlEnding
from rppam.recordings.errors import RecordingStoreFailed
from rppam.recordings.folder import Folder
from rppam.recordings.model import Facts
from rppam.recordings.policy import RETENTION, STORE, RecordingRetention, StorePolicy
from rppam.recordings.service import Recordings
from rppam.recordings.shelves import access_of
from rppam.recordings.tables import recording_chunks, recordings
from rppam.settings.errors import SettingInvalid
from rppam.settings.store import SqlSettingsStore
from tests.gateway.places import Ended
from tests.gateway.test_recorded import URL
from tests.support.served import Served
from tests.vault.people import actions

DAY_MS = 86_400_000


async def made(served: Served, *said: bytes, target: str = "web1", user: str = "alice", live: bool = False) -> str:
    """A recording of what a target said."""
    facts = Facts("01234567-89ab", target, "root", user, "shell", "", "xterm", 80, 24, "")
    recorder = await served.services.get(Recordings).record(
        facts, "id-of-alice", NODE, pytest.fail, strict=True, may_lose=False
    )
    for data in said:
        recorder.output(data, False, lambda: None)
    await (recorder.leave() if live else recorder.close("0"))
    return recorder.ident


async def aged(served: Served, ident: str, days: int) -> None:
    older = update(recordings).where(recordings.c.id == ident).values(changed=recordings.c.changed - days * DAY_MS)
    await served.database.write(lambda connection: connection.execute(older).close())


async def ended(served: Served, **retention: Any) -> None:
    """One round of the leader, with this setting."""
    settings = SqlSettingsStore(served.database)
    revision = await settings.read(RETENTION.name)
    expected = None if revision is None else [revision.revision]
    await settings.write(
        Leadership("node1", Authority(7, "boot")), RETENTION.name, json.dumps(retention), "admin", expected
    )
    await Ending(SqlEnding(served.database), settings, access_of(served.base.config.access, served.base.clock)).work(7)


async def states(served: Served) -> dict[str, str]:
    items = (await served.http.get(URL, headers=served.bearer())).json()["items"]
    return {one["id"]: one["state"] for one in items}


async def order(served: Served, ident: str, what: str, **body: Any) -> Any:
    return await served.http.post(f"{URL}/{ident}/{what}", json=body, headers=served.bearer(AccountRole.SECURITY_ADMIN))


async def left(served: Served, ident: str) -> tuple[int, str]:
    """Chunks and key of a recording."""
    count = select(func.count()).select_from(recording_chunks).where(recording_chunks.c.recording == ident)
    key = select(recordings.c.sealed_key).where(recordings.c.id == ident)
    return await served.database.read(
        lambda connection: (connection.execute(count).scalar_one(), connection.execute(key).scalar_one())
    )


def test_the_longest_of_several_tags_counts_and_for_ever_is_longest() -> None:
    kept = RETENTION.read({"days": 90, "byTag": ["pci=400", "lab=30", "court=0"]})
    assert [kept.of(tags) for tags in ((), ("other",), ("lab",), ("lab", "pci"), ("pci", "court"))] == [
        90,
        90,
        30,
        400,
        0,
    ]
    assert [kept.decided(tags)[1] for tags in ((), ("lab", "pci"), ("pci", "court"))] == ["", "pci", "court"]
    assert kept.least() == 30
    assert RecordingRetention().least() == 0
    assert RETENTION.read({"byTag": ["lab=30"]}).least() == 30
    for bad in (
        {"byTag": ["pci"]},
        {"byTag": ["pci=-1"]},
        {"byTag": ["a=1", "a=2"]},
        {"byTag": ["a=40000"]},
        {"days": -1},
    ):
        with pytest.raises(SettingInvalid):
            RETENTION.read(bad)


@pytest.mark.integration
async def test_what_is_older_than_it_is_kept_loses_its_key_and_its_chunks(served: Served) -> None:
    old, young, live = await made(served, b"old\n"), await made(served, b"young\n"), await made(served, b"x", live=True)
    for ident, days in ((old, 31), (young, 29), (live, 31)):
        await aged(served, ident, days)
    await ended(served)
    assert set((await states(served)).values()) == {"done", "live"}, "0 days are for ever"
    await ended(served, days=30)
    assert await states(served) == {old: "deleted", young: "done", live: "live"}
    assert await left(served, old) == (0, "")
    assert (await left(served, young))[0] > 0
    for answer in (
        await served.http.get(f"{URL}/{old}/export", headers=served.bearer()),
        await served.http.post(f"{URL}/{old}/verify", headers=served.bearer()),
        await served.http.get(f"{URL}/{old}/watch", headers=served.bearer()),
        await order(served, old, "hold", reason="too late"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (410, "RPPAM-8707"), answer.text
    shown = (await served.http.get(f"{URL}/{old}", headers=served.bearer())).json()
    assert (shown["user"], shown["target"], shown["chunks"] > 0, len(shown["head"])) == ("alice", "web1", True, 64)
    (told,) = await actions(served, "recording.delete")
    assert (told["object"]["id"], told["details"]["head"]) == (old, shown["head"])


@pytest.mark.integration
async def test_the_tags_of_the_target_decide(served: Served) -> None:
    for name, tags in (("pay", ["pci", "web"]), ("toy", ["lab"])):
        body = {"name": name, "kind": "ssh", "address": "192.0.2.1", "port": 22, "tags": tags}
        answer = await served.http.post("/api/v1/resources", json=body, headers=served.bearer())
        assert answer.status_code == 201, answer.text
    pay, toy, gone = [await made(served, b"x\n", target=name) for name in ("pay", "toy", "gone")]
    for ident in (pay, toy, gone):
        await aged(served, ident, 100)
    await ended(served, byTag=["pci=400", "lab=30"])
    assert await states(served) == {pay: "done", toy: "deleted", gone: "done"}
    await ended(served, days=90, byTag=["pci=400", "lab=30"])
    assert await states(served) == {pay: "done", toy: "deleted", gone: "deleted"}


@pytest.mark.integration
async def test_a_hold_keeps_it_and_only_who_may_gives_the_order(served: Served) -> None:
    held, of_alice, of_target = [
        await made(served, b"x\n", user=user, target=target)
        for user, target in (("bob", "web1"), ("alice", "web1"), ("bob", "web2"))
    ]
    for ident in (held, of_alice, of_target):
        await aged(served, ident, 100)
    for roles, status in (((AccountRole.AUDITOR,), 403), ((AccountRole.USER,), 403)):
        answer = await served.http.post(f"{URL}/{held}/hold", json={"reason": "x"}, headers=served.bearer(*roles))
        assert answer.status_code == status, answer.text
    assert (await order(served, held, "hold")).status_code == 400, "it has to say why"
    assert (await order(served, "nothing", "hold", reason="x")).status_code == 404
    shown = (await order(served, held, "hold", reason="case 42")).json()
    assert (shown["hold"], shown["heldBy"]) == ("case 42", "admin")
    for name in ("alice", "web2"):
        answer = await served.http.post(
            "/api/v1/audit/holds", json={"name": name, "reason": "case 43"}, headers=served.bearer()
        )
        assert answer.status_code == 201, answer.text
    await ended(served, days=30)
    assert set((await states(served)).values()) == {"done"}, "one is held itself, one by its user, one by its target"
    assert (await order(served, held, "release", reason="closed")).json()["hold"] == ""
    assert (await order(served, held, "release", reason="closed")).status_code == 200, "twice is once"
    await ended(served, days=30)
    assert await states(served) == {held: "deleted", of_alice: "done", of_target: "done"}
    assert [len(await actions(served, f"recording.{what}")) for what in ("hold", "release", "delete")] == [1, 1, 1]


@pytest.mark.integration
async def test_each_says_until_when_it_is_kept_and_by_what(served: Served) -> None:
    body = {"name": "pay", "kind": "ssh", "address": "192.0.2.1", "port": 22, "tags": ["pci"]}
    assert (await served.http.post("/api/v1/resources", json=body, headers=served.bearer())).status_code == 201
    names = {
        await made(served, b"x\n", target="pay"): "tag",
        await made(served, b"x\n", target="web1"): "days",
        await made(served, b"x\n", target="web1", user="bob"): "legal-hold",
        await made(served, b"x\n", target="web2"): "hold",
        await made(served, b"x\n", target="web1", live=True): "live",
        (old := await made(served, b"x\n", target="web3")): "deleted",
    }
    held = {"name": "bob", "reason": "case 43"}
    assert (await served.http.post("/api/v1/audit/holds", json=held, headers=served.bearer())).status_code == 201
    await order(served, next(one for one, why in names.items() if why == "hold"), "hold", reason="case 42")

    async def kept() -> dict[str, dict[str, Any]]:
        items = (await served.http.get(URL, headers=served.bearer())).json()["items"]
        shown = {one["id"]: one for one in items}
        alone = (await served.http.get(f"{URL}/{old}", headers=served.bearer())).json()
        assert alone == shown[old], "a list and one say the same"
        return {names[ident]: one for ident, one in shown.items()}

    before = await kept()
    assert {one["keptBy"] for one in before.values()} == {"days", "legal-hold", "hold", "live"}
    assert {one["keptUntil"] for one in before.values()} == {None}, "for ever"
    await aged(served, old, 100)
    retention = {"days": 90, "byTag": ["pci=400"]}
    await ended(served, **retention)
    await served.services.get(Foundation).hot.refresh()
    after = await kept()
    assert {name: one["keptBy"] for name, one in after.items()} == {name: name for name in names.values()}
    assert {name for name, one in after.items() if one["keptUntil"]} == {"tag", "days"}
    assert after["tag"]["keptTag"] == "pci"
    for name, days in (("tag", 400), ("days", 90)):
        end = datetime.fromisoformat(after[name]["changedAt"])
        assert datetime.fromisoformat(after[name]["keptUntil"]) == end + timedelta(days=days)


@pytest.mark.integration
async def test_in_a_folder_the_files_go_too_also_later(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    current = type(served.live).current
    where = StorePolicy("dir", str(share))
    monkeypatch.setattr(type(served.live), "current", lambda live, one: where if one is STORE else current(live, one))
    ident = await made(served, b"said\n")
    await aged(served, ident, 100)
    share.rename(tmp_path / "elsewhere")
    with pytest.raises(RecordingStoreFailed, match=r"files of deleted recordings stay, 1 of them: .*is not there"):
        await ended(served, days=30)
    assert await states(served) == {ident: "deleted"}
    assert (await left(served, ident))[1] == "", "nobody reads it any more, wherever the files are"
    assert (tmp_path / "elsewhere" / ident).is_dir()
    (tmp_path / "elsewhere").rename(share)
    await ended(served, days=30)
    assert await left(served, ident) == (0, "")
    assert list(share.iterdir()) == []
    await Folder(share).remove(ident)  # twice is once


async def deleted(served: Served, *names: tuple[str, str]) -> None:
    """Deleted recordings with a chunk left, by their ids and where they lie."""
    row: dict[str, Any] = {
        "session": "s",
        "user_id": "u",
        "facts": "{}",
        "sealed_key": "",
        "state": "deleted",
        "head": "",
    }
    row |= {"chunks": 1, "bytes": 1, "started": 0, "changed": 0, "how": "0"}
    chunk = {"seq": 1, "hash": "", "sealed": b"x"}

    def work(connection: Connection) -> None:
        for ident, store in names:
            connection.execute(insert(recordings).values(id=ident, store=store, **row))
            connection.execute(insert(recording_chunks).values(recording=ident, **chunk))

    await served.database.write(work)


@pytest.mark.integration
async def test_files_that_cannot_be_removed_are_told_and_keep_no_others(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rppam.recordings.ending.PAGE", 2)
    tried = list[str]()
    remove = Folder.remove

    async def counted(folder: Folder, ident: str) -> None:
        tried.append(ident)
        await remove(folder, ident)

    monkeypatch.setattr(Folder, "remove", counted)
    away = f"dir:{tmp_path / 'away'}"
    await deleted(served, ("1", away), ("2", away), ("3", "sql"))
    with pytest.raises(RecordingStoreFailed, match=r"files of deleted recordings stay, 2 of them: .*away is not there"):
        await ended(served)
    assert [(await left(served, ident))[0] for ident in "123"] == [1, 1, 0]
    assert tried == ["1"], "a place that is away is waited for once in a round"
    assert "allowed to delete there" in RecordingStoreFailed.row.remedy


@pytest.mark.integration
async def test_a_recording_that_alone_cannot_be_removed_keeps_no_others_of_its_folder(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = Folder.remove

    async def refused(folder: Folder, ident: str) -> None:
        if ident in broken:
            raise RecordingStoreFailed(f"the folder {folder.path}: Operation not permitted")
        await remove(folder, ident)

    monkeypatch.setattr(Folder, "remove", refused)
    broken = {"1", "2"}
    await deleted(served, *[(ident, f"dir:{tmp_path}") for ident in "1234"])
    access = access_of(served.base.config.access, served.base.clock)
    ending = Ending(SqlEnding(served.database), SqlSettingsStore(served.database), access)
    for count in (4, 4, 2):
        with pytest.raises(RecordingStoreFailed, match=f"stay, {count} of them"):
            await ending.work(7)
    assert [(await left(served, ident))[0] for ident in "1234"] == [1, 1, 0, 0]
    broken.discard("2")
    with pytest.raises(RecordingStoreFailed, match="stay, 1 of them"):
        await ending.work(7)
    broken.discard("1")
    await ending.work(7)
    assert [(await left(served, ident))[0] for ident in "1234"] == [0, 0, 0, 0]


async def searched(served: Served, headers: dict[str, str] | None = None, **body: Any) -> list[dict[str, Any]]:
    answer = await served.http.post(f"{URL}/search", json=body, headers=headers or served.bearer())
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def lines(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["recording"], one["line"]) for one in found if "line" in one]


@pytest.mark.integration
async def test_a_text_is_found_across_chunks_whatever_its_case_and_escapes(served: Served) -> None:
    first = await made(served, b"$ rm", b" -RF /srv/da", b"ta\r\nready\r\n")
    second = await made(served, "\x1b[1mrm\x1b[0m -rf /srv/dätä".encode(), user="bob", target="web2")
    await made(served, b"nothing of the kind\n")
    found = await searched(served, text="rm -rf /srv")
    assert lines(found) == [(second, "rm -rf /srv/dätä"), (first, "$ rm -RF /srv/data")]
    assert found[-1] == {"over": True, "searched": 3, "hits": 2, "problems": 0}
    assert [one["user"] for one in found if "line" in one] == ["bob", "alice"]
    assert lines(await searched(served, text="RM -rf", user="bob")) == [(second, "rm -rf /srv/dätä")]
    assert lines(await searched(served, text="rm -rf", target="web1")) == [(first, "$ rm -RF /srv/data")]
    assert (await searched(served, text="no such words"))[-1]["hits"] == 0
    assert lines(await searched(served, served.bearer(AccountRole.USER, subject="nobody"), text="rm")) == [], (
        "not theirs"
    )
    assert len(await actions(served, "recording.search")) == 5
    looked = [one for one in await actions(served, "recording.export") if one["details"] == {"format": "search"}]
    assert sorted(one["object"]["id"] for one in looked) == sorted([first, second, second, first])
    assert not any("rm -rf" in json.dumps(one).lower() for one in await actions(served, "recording.search"))


@pytest.mark.integration
async def test_many_lines_are_counted_and_a_broken_recording_is_named(served: Served) -> None:
    many = await made(served, b"".join(b"error %d\n" % number for number in range(50)), b"e" * 3_000_000 + b"error")
    broken = await made(served, b"error\n", b"more\n")
    spoilt = update(recording_chunks).where(recording_chunks.c.recording == broken, recording_chunks.c.seq == 1)
    await served.database.write(lambda connection: connection.execute(spoilt.values(sealed=b"x" * 40)).close())
    found = await searched(served, text="ERROR")
    assert len(lines(found)) == 20
    assert {"recording": many, "lines": 51} in found
    (problem,) = [one for one in found if "problem" in one]
    assert (problem["recording"], "chunk 1" in problem["problem"]) == (broken, True)
    assert found[-1] == {"over": True, "searched": 2, "hits": 20, "problems": 1}
    assert all(len(line) <= 300 for _, line in lines(found))


@pytest.mark.integration
async def test_the_commands(served: Served, tmp_path: Path) -> None:
    ident = await made(served, b"sudo reboot\n")
    token = served.bearer()["Authorization"].removeprefix("Bearer ")

    async def rppam(*words: str) -> Ended:
        return await run(tmp_path, {"RPPAM_URL": served.url, "RPPAM_TOKEN": token}, *words)

    found = await rppam("search", "REBOOT")
    assert (found.code, ident.encode() in found.out, b"root@web1: sudo reboot" in found.out) == (0, True, True)
    assert json.loads((await rppam("search", "reboot", "--json")).out.splitlines()[0])["line"] == "sudo reboot"
    assert (await rppam("search", "halt")).code == 1
    assert (await rppam("hold", ident, "--reason", "case 42")).code == 0
    assert (await rppam("release", ident, "--reason", "closed")).code == 0
    assert (await rppam("hold", "nothing", "--reason", "case 42")).code == 2


async def run(folder: Path, env: dict[str, str], *words: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rppam",
        "recording",
        *words,
        cwd=folder,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out, err.decode())
