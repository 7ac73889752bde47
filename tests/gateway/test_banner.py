"""The banner: everybody reads it before logging in, and no program's output has it in it."""

import pytest

from tests.gateway.places import HOST, Ended, Place
from tests.support.served import PASSWORD

pytestmark = [pytest.mark.integration]
SETTING = "/api/v1/settings/access/ssh"
TEXT = ("Property of Example.", "Every session is recorded.")


async def ssh(place: Place, *words: str, password: str = PASSWORD) -> Ended:
    options = ["-o", "LogLevel=INFO", *place.options()]
    return await place.run("ssh", *options, HOST, *words, answers=(password,))


async def put(place: Place, *banner: str) -> tuple[int, str]:
    answer = await place.served.http.put(SETTING, json={"banner": list(banner)}, headers=place.served.bearer())
    return answer.status_code, answer.text


async def test_it_is_read_before_the_log_in_and_is_in_no_output(place: Place) -> None:
    assert "Property" not in (await ssh(place, "echo out")).err
    assert (await put(place, *TEXT))[0] == 200
    fine = await ssh(place, "echo out; echo err >&2")
    assert (fine.code, fine.out) == (0, b"out\n"), fine
    assert "\n".join([*TEXT, "err"]) in fine.err.replace("\r", "")
    assert fine.err.count("Property") == 1
    refused = await ssh(place, "echo out", password="wrong")
    assert (refused.code, refused.out) == (255, b"")
    assert "Every session is recorded." in refused.err
    assert refused.err.index("recorded.") < refused.err.index("Permission denied")
    assert (await put(place))[0] == 200
    assert "Property" not in (await ssh(place, "echo out")).err


async def test_file_transfer_is_none_the_worse_for_it(place: Place) -> None:
    assert (await put(place, *TEXT))[0] == 200
    listed = await place.run(
        "sftp", "-o", "LogLevel=INFO", "-o", "BatchMode=no", *place.options(), "-b", "-", HOST, given=b"pwd\n"
    )
    assert (listed.code, b"Remote working directory" in listed.out) == (0, True), listed
    assert b"Property" not in listed.out
    assert "Property" in listed.err


@pytest.mark.parametrize(
    "text", ["\x1b[2Jgone", "\x07", "a\u202eb", "x" * 2001], ids=["escape", "bell", "bidi", "long"]
)
async def test_what_would_play_tricks_with_a_terminal_is_no_banner(place: Place, text: str) -> None:
    status, said = await put(place, text)
    assert status == 400, said
    assert "banner" in said
