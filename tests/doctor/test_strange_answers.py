"""A server that greets as Redis does and then answers nonsense: the doctor ends with a finding, never with a crash."""

import asyncio
from pathlib import Path

import hiredis
import pytest

from rppam.doctor.cli import _Steps
from rppam.doctor.report import Report
from tests.doctor.ailing import QUICK, Doctor
from tests.support.strange_redis import HELLO, INFO, ROLE, Handler, scripted

pytestmark = pytest.mark.integration

SENTINEL = HELLO.replace(b"$10\r\nstandalone", b"$8\r\nsentinel")
GREETING = {b"PING": b"+PONG\r\n", b"INFO": INFO, b"ROLE": ROLE}
NONSENSE = {
    "ok": b"+OK\r\n",
    "null": b"_\r\n",
    "a number": b":-7\r\n",
    "a fraction": b",nan\r\n",
    "a bool": b"#t\r\n",
    "no list": b"*0\r\n",
    "a short list": b"*1\r\n:1\r\n",
    "words": b"*2\r\n+x\r\n+y\r\n",
    "lists in a list": b"*2\r\n*1\r\n_\r\n$-1\r\n",
    "errors in a list": b"*2\r\n-ERR a\r\n-ERR b\r\n",
    "a map": b"%1\r\n+a\r\n:1\r\n",
    "a set": b"~2\r\n:1\r\n+x\r\n",
    "bytes": b"$4\r\n\xff\xfe\x00\n\r\n",
    "a strange error": b"-ERR weird \xff\r\n",
    "half a reply": b"$100\r\nabc",
}


def answering_all(hello: bytes, nonsense: bytes, *, from_command: int) -> Handler:
    """Greets, and from its n-th command on answers nothing but ``nonsense``."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser, number = hiredis.Reader(), 0
        while data := await reader.read(65536):
            parser.feed(data)
            while (words := parser.gets()) is not False:
                number += 1
                if number >= from_command:
                    writer.write(nonsense)
                else:
                    writer.write(hello if words[0] == b"HELLO" else GREETING[words[0]])

    return handler


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("from_command", [2, 6], ids=["greeting", "after it"])
async def test_nonsense_of_a_redis_is_a_finding(nonsense: bytes, from_command: int, tmp_path: Path) -> None:
    async with scripted(answering_all(HELLO, nonsense, from_command=from_command)) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}", password="a-password-that-nobody-may-see")
        found = await asyncio.to_thread(doctor.findings)
    assert (doctor.exit, doctor.verdict) == (2, "errors") or nonsense == NONSENSE["no list"], found
    assert "RD-616" not in found, found
    assert "a-password" not in doctor.text + doctor.progress


@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_of_a_sentinel_is_a_finding(nonsense: bytes, tmp_path: Path) -> None:
    async with scripted(answering_all(SENTINEL, nonsense, from_command=6)) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK},serviceName=x")
        found = await asyncio.to_thread(doctor.findings)
    assert (doctor.exit, doctor.verdict) == (2, "errors")
    assert {"RD-401", "RD-402"} & set(found), found
    assert "RD-616" not in found, found


async def test_a_check_that_breaks_is_a_finding_and_the_next_one_runs(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    report.hide(None)
    steps = _Steps(report)

    def broken() -> None:
        raise KeyError("something nobody thought of")

    assert await steps.do("the first", broken) is None
    assert await steps.do("the second", lambda: 7) == 7
    (found,) = report.findings
    assert found.code == "RD-616"
    assert found.evidence == "the first: KeyError: 'something nobody thought of'"
    assert capsys.readouterr().err.splitlines() == ["  the first ... 1 error", "  the second ... ok"]


async def test_a_server_that_answers_slowly_is_found_out_by_a_few_questions(tmp_path: Path) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (words := parser.gets()) is not False:
                await asyncio.sleep(0.2 if words[0] == b"PING" else 0.02)
                known = {b"HELLO": HELLO, b"PING": b"+PONG\r\n", b"SET": b"+OK\r\n", b"EVAL": b"*0\r\n"}
                writer.write(known.get(words[0], b"-ERR unknown command\r\n"))

    async with scripted(slow) as port:
        doctor = Doctor(tmp_path, f"127.0.0.1:{port},{QUICK}")
        found = await asyncio.to_thread(doctor.findings)
    assert found["RD-314"]["severity"] == "warning"
    count, _, told = found["RD-314"]["evidence"].partition(" ")
    assert int(count) < 8, "not all twenty: together they took long enough"
    assert told.startswith("PINGs took 2")
