"""What SFTP carries is told with path, size, direction and SHA-256, whatever its client does."""

import hashlib
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given, strategies as st

from rppam.db.errors import DatabaseBusy
from rppam.gateway import sftp
from rppam.gateway.sftp import Change, SftpAudit, Transfer
from rppam.gateway.store import SqlAccess
from tests.gateway.places import HOST, Place
from tests.gateway.test_kept import sessions, until_recorded
from tests.gateway.test_register import recorded
from tests.support.served import PASSWORD

SESSIONS = "/api/v1/access/sessions"


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def packet(kind: int, number: int, *parts: bytes) -> bytes:
    body = bytes([kind]) + struct.pack(">I", number) + b"".join(parts)
    return struct.pack(">I", len(body)) + body


def opened(number: int, path: bytes, handle: bytes, flags: int = 2) -> tuple[bytes, bytes]:
    return packet(3, number, text(path), struct.pack(">II", flags, 0)), packet(102, number, text(handle))


def written(number: int, handle: bytes, off: int, data: bytes) -> bytes:
    return packet(6, number, text(handle), struct.pack(">Q", off), text(data))


def status(number: int, code: int = 0) -> bytes:
    return packet(101, number, struct.pack(">I", code), text(b""), text(b""))


class Heard:
    """A channel's two directions, and what was told."""

    def __init__(self) -> None:
        self.told: list[Transfer | Change] = []
        self.lost: list[str] = []
        self.audit = SftpAudit(self.told.append, self.lost.append)

    def open(self, path: bytes = b"/a", handle: bytes = b"h", number: int = 1, flags: int = 2) -> None:
        asked, answer = opened(number, path, handle, flags)
        self.audit.up(asked)
        self.audit.down(answer)

    def write(self, off: int, data: bytes, handle: bytes = b"h") -> None:
        self.audit.up(written(2, handle, off, data))
        self.audit.down(status(2))

    def close(self, handle: bytes = b"h") -> None:
        self.audit.up(packet(4, 9, text(handle)))
        self.audit.down(status(9))


@given(st.binary(max_size=3000), st.integers(1, 400), st.randoms(), st.integers(1, 50))
def test_pieces_in_any_order_cut_anywhere_have_the_file_s_hash(data: bytes, size: int, order: Any, cut: int) -> None:
    heard = Heard()
    pieces = [(off, data[off : off + size]) for off in range(0, len(data), size)]
    order.shuffle(pieces)
    asked, answer = opened(1, b"/tmp/f", b"\xff\0")
    heard.audit.up(asked)
    heard.audit.down(answer)
    wire = b"".join(written(10 + place, b"\xff\0", off, part) for place, (off, part) in enumerate(pieces))
    wire += packet(4, 2, text(b"\xff\0"))
    for place in range(0, len(wire), cut):
        heard.audit.up(wire[place : place + cut])
    heard.audit.down(b"".join(status(10 + place) for place in range(len(pieces))) + status(2))
    wanted = [Transfer("/tmp/f", "up", len(data), hashlib.sha256(data).hexdigest(), "", True)] if data else []
    assert (heard.told, heard.lost) == (wanted, [])


def test_what_has_no_hash_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "AHEAD_BYTES", 100)
    for pieces, why in (
        ([(5, b"x")], "its beginning was not carried"),
        ([(0, b"x"), (5, b"x")], "a part of it is missing"),
        ([(0, b"xx"), (1, b"y")], "a part of it was carried twice"),
        ([(0, b"x"), (50, b"x" * 101)], "its parts came too far out of order"),
    ):
        heard = Heard()
        heard.open()
        for off, data in pieces:
            heard.write(off, data)
        heard.close()
        (one,) = heard.told
        assert isinstance(one, Transfer)
        assert (one.sha256, one.why, one.bytes) == ("", why, sum(len(data) for _, data in pieces))
    heard = Heard()
    heard.open()
    heard.audit.up(written(2, b"h", 0, b"never taken"))
    heard.audit.down(status(2, 4))
    heard.close()
    assert [one.why for one in heard.told if isinstance(one, Transfer)] == ["the target did not take all of it"]


def test_what_is_open_at_the_end_is_told_as_cut_off() -> None:
    heard = Heard()
    heard.open()
    heard.write(0, b"part")
    heard.audit.close()
    assert heard.told == [Transfer("/a", "up", 4, hashlib.sha256(b"part").hexdigest(), "", False)]


@pytest.mark.parametrize(
    "nonsense",
    [b"\0\0\0\0", b"\xff" * 8, struct.pack(">IB", 5, 3) + b"\0\0\0\1", packet(3, 1, struct.pack(">I", 99), b"x")],
)
def test_what_is_no_sftp_ends_the_telling_and_says_so(nonsense: bytes) -> None:
    heard = Heard()
    heard.audit.up(nonsense)
    heard.open()
    heard.write(0, b"x")
    heard.close()
    assert len(heard.lost) == 1
    assert heard.told == []


def test_no_client_makes_it_keep_more_than_its_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp, "WAITING_BYTES", 1_000)
    heard = Heard()
    for number in range(20):
        heard.open(b"/f", bytes([number]), number)
        heard.write(100, b"x" * 200, bytes([number]))
    assert heard.audit._waiting <= 1_000
    for number in range(20):
        heard.close(bytes([number]))
    assert heard.audit._waiting == 0
    monkeypatch.setattr(sftp, "ASKED_MAX", 10)
    for number in range(12):
        heard.audit.up(packet(5, number, text(b"h"), struct.pack(">QI", 0, 9)))
    assert heard.lost == ["more is asked for than is answered"]


# ---- OpenSSH's own clients -------------------------------------------------------------------------------------------


async def told(place: Place) -> list[dict[str, Any]]:
    (one,) = await sessions(place)
    answer = await place.served.http.get(f"{SESSIONS}/{one['id']}/files", headers=place.served.bearer())
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_what_cannot_be_followed_is_never_carried_untold() -> None:
    """A number or a handle that stands for two things would lead past what is told."""
    read = packet(5, 2, text(b"h"), struct.pack(">QI", 0, 9))
    stat = packet(17, 1, text(b"/nonexistent"))
    asked, answer = opened(1, b"/etc/shadow", b"h")
    another, second = opened(3, b"/etc/passwd", b"h")
    for wire in (
        ((stat + asked, b""), (b"", status(1, 2) + answer), (read, packet(103, 2, text(b"root:")))),
        ((asked + opened(1, b"/tmp/a", b"")[0], answer),),
        ((asked, answer), (another, second)),
        ((read, packet(103, 2, text(b"root:"))),),
        ((b"", packet(103, 2, text(b"root:"))),),
        ((stat, packet(103, 1, text(b"root:"))),),
        ((written(2, b"h", 0, b"root:"), status(2)),),
    ):
        heard = Heard()
        for up, down in wire:
            heard.audit.up(up)
            heard.audit.down(down)
        assert len(heard.lost) == 1, wire


def test_what_is_asked_beside_files_is_followed_too() -> None:
    heard = Heard()
    directory, listed = packet(11, 5, text(b"/tmp")), packet(102, 5, text(b"d"))
    heard.audit.up(packet(17, 4, text(b"/tmp")) + directory + packet(200, 6, text(b"limits@openssh.com")))
    heard.audit.down(packet(105, 4, bytes(4)) + listed + packet(201, 6, bytes(32)))
    heard.audit.up(packet(12, 7, text(b"d")) + packet(4, 8, text(b"d")))
    heard.audit.down(packet(104, 7, bytes(4)) + status(8))
    heard.open()
    heard.write(0, b"data")
    heard.close()
    assert heard.lost == []
    assert [(one.path, one.bytes) for one in heard.told if isinstance(one, Transfer)] == [("/a", 4)]


def test_what_is_done_by_handles_alone_is_told() -> None:
    """A file that is written on the target's side, emptied or made anybody's leaves no bytes on the wire."""
    heard = Heard()
    heard.open(b"/etc/shadow", b"s", flags=0x01)
    heard.open(b"/tmp/x", b"x", flags=0x1A)
    copied = text(b"copy-data") + text(b"s") + bytes(16) + text(b"x") + bytes(8)
    heard.audit.up(packet(200, 10, copied))
    heard.audit.up(packet(10, 11, text(b"x"), struct.pack(">II", 4, 0o4755)))
    heard.audit.up(packet(200, 12, text(b"lsetstat@openssh.com") + text(b"/tmp/y"), bytes(4)))
    heard.audit.down(status(10) + status(11) + status(12, 3))
    heard.write(0, b"more", b"x")
    heard.close(b"x")
    heard.close(b"s")
    heard.open(b"/tmp/empty", b"e", flags=0x1A)
    heard.close(b"e")
    heard.open(b"/tmp/lock", b"l", flags=0x2A)
    heard.audit.close()
    assert heard.lost == []
    assert heard.told == [
        Change("copy", "/etc/shadow", "/tmp/x", True),
        Change("attributes", "/tmp/x", "", True),
        Change("attributes", "/tmp/y", "", False),
        Transfer("/tmp/x", "up", 4, "", "the target copied a part of it from another file", True),
        Change("truncate", "/tmp/empty", "", True),
        Change("create", "/tmp/lock", "", True),
    ]


def test_a_handle_that_is_to_be_closed_means_no_file_any_more() -> None:
    """In one burst it is the next file's, whose path nobody would tell."""
    for act in (written(4, b"h", 0, b"x"), packet(10, 4, text(b"h"), bytes(4)), packet(5, 4, text(b"h"), bytes(12))):
        heard = Heard()
        heard.open(b"/a")
        heard.audit.up(packet(4, 2, text(b"h")) + opened(3, b"/b", b"h")[0] + act)
        assert heard.lost == ["a handle is used after it was to be closed"]


def test_what_has_no_answer_when_the_channel_ends_may_have_been_done() -> None:
    heard = Heard()
    heard.audit.up(opened(1, b"/x", b"h", 0x1A)[0] + packet(13, 2, text(b"/y")) + packet(17, 3, text(b"/z")))
    heard.audit.close()
    assert heard.lost == ["2 requests had no answer when the channel ended"]


@pytest.mark.parametrize(
    "asked",
    [
        packet(200, 9, text(b"copy-file@example.org") + text(b"/a") + text(b"/b")),
        packet(21, 9, text(b"/a"), text(b"/b")),
        packet(10, 9, text(b"never opened"), bytes(4)),
    ],
    ids=["an extension", "a kind", "a handle"],
)
def test_what_is_not_known_is_no_more_told_than_followed(asked: bytes) -> None:
    heard = Heard()
    heard.audit.up(asked)
    assert len(heard.lost) == 1


@pytest.mark.integration
async def test_a_copy_on_the_target_and_an_empty_file_are_told(place: Place, tmp_path: Path) -> None:
    source, copy, empty = (place.target.folder / name for name in ("source", "copy", "empty"))
    source.write_bytes(b"secret")
    (tmp_path / "nothing").touch()
    batch = f"copy {source} {copy}\nchmod 600 {copy}\nput {tmp_path}/nothing {empty}\n"
    ended = await place.run("sftp", "-o", "BatchMode=no", *place.options(), "-b", "-", HOST, given=batch.encode())
    assert ended.code == 0, ended
    assert copy.read_bytes() == b"secret"
    await until_recorded(place, "access.end")
    found = [(one["what"], one["path"], one["to"]) for one in await told(place)]
    for wanted in (
        ("copy", str(source), str(copy)), ("attributes", str(copy), ""), ("truncate", str(empty), ""),
    ):  # fmt: skip
        assert wanted in found
    assert await recorded(place, "file.untold") == []


@pytest.mark.integration
async def test_sftp_and_scp_tell_what_they_carried(place: Place, tmp_path: Path) -> None:
    data, remote = os.urandom(3_000_000), place.target.folder / "sftp-remote"
    (tmp_path / "local").write_bytes(data)
    batch = f"put {tmp_path}/local {remote}\nrename {remote} {remote}2\nget {remote}2 {tmp_path}/back\nrm {remote}2\n"
    options = ["-o", "BatchMode=no", *place.options()]
    ended = await place.run("sftp", *options, "-b", "-", HOST, given=batch.encode())
    assert ended.code == 0, ended
    assert (tmp_path / "back").read_bytes() == data
    await until_recorded(place, "access.end")
    digest = hashlib.sha256(data).hexdigest()
    found = await told(place)
    brief = [(one["what"], one["direction"], one["bytes"], one["sha256"]) for one in found]
    assert brief == [
        ("transfer", "up", 3_000_000, digest),
        ("rename", None, None, None),
        ("transfer", "down", 3_000_000, digest),
        ("remove", None, None, None),
    ], found
    assert [one["path"] for one in found] == [f"{remote}", f"{remote}", f"{remote}2", f"{remote}2"]
    assert found[1]["to"] == f"{remote}2"
    assert all(one["complete"] for one in found)
    session = (await sessions(place))[0]["id"]
    env = {
        "RPPAM_URL": place.served.url,
        "RPPAM_TOKEN": place.served.bearer()["Authorization"].removeprefix("Bearer "),
    }
    shown = await place.run(sys.executable, "-m", "rppam", "recording", "files", session, "--json", env=env)
    assert json.loads(shown.out) == {"items": found}
    lines = (await place.run(sys.executable, "-m", "rppam", "recording", "files", session, env=env)).out.decode()
    assert digest in lines.splitlines()[0]
    assert f"{remote} -> {remote}2" in lines


@pytest.mark.integration
async def test_what_the_target_refuses_and_what_is_cut_off(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    note_all, tries = SqlAccess.note_all, []

    async def busy(store: SqlAccess, *words: Any) -> None:
        tries.append(1)
        if len(tries) < 3:
            raise DatabaseBusy("away")
        await note_all(store, *words)

    monkeypatch.setattr(SqlAccess, "note_all", busy)
    path = f"{place.target.folder}/cut-off"
    async with place.client(password=PASSWORD) as client:
        files = await client.start_sftp_client()
        file = await files.open(path, "wb")
        await file.write(b"half of it")
        with pytest.raises(asyncssh.SFTPNoSuchFile):
            await files.remove("/no/such/file")
    await until_recorded(place, "access.end")
    found = await told(place)
    assert [(one["what"], one["complete"]) for one in found] == [("remove", False), ("transfer", False)]
    assert found[1]["sha256"] == hashlib.sha256(b"half of it").hexdigest()
    assert len(await recorded(place, "file.transfer")) == 1
    assert len(await recorded(place, "file.change")) == 1


async def test_what_is_no_sftp_is_recorded_as_not_told_any_further(place: Place) -> None:
    async with place.client(password=PASSWORD) as client:
        process = await client.create_process(subsystem="sftp", encoding=None)
        process.stdin.write(b"\xff" * 8)
        await until_recorded(place, "file.untold")
    (event,) = await recorded(place, "file.untold")
    assert event["details"]["why"]
