"""Planted secrets are found nowhere but in the answer to who asked for them: not in files, logs, events or errors."""

import base64
import logging
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.mfa.test_api import enrolled
from tests.support.authenticator import code
from tests.support.served import Served
from tests.vault.people import CHECKOUTS, ENTRIES, Person, host

pytestmark = pytest.mark.integration
CANARY = "zq7-canary/ü+4711-secret"


def spellings(word: str) -> Iterator[bytes]:
    """The word as it may be written somewhere."""
    data = word.encode()
    yield data
    yield data.hex().encode()
    yield data.hex().upper().encode()
    yield urllib.parse.quote(word, safe="").encode()
    yield word.encode("utf-16-le")
    yield word.encode("unicode_escape")
    for before in range(3):  # base64 of it anywhere in a text: what is the same whatever stands around it
        whole = base64.b64encode(b"x" * before + data)
        yield whole[4 : len(whole) - 4]
        yield base64.urlsafe_b64encode(b"x" * before + data)[4 : len(whole) - 4]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_the_scan_finds_what_it_looks_for() -> None:
    inside = base64.b64encode(b"ab" + CANARY.encode() + b"cde")
    assert any(one in inside for one in spellings(CANARY))


async def test_a_secret_is_nowhere_but_in_the_answer(
    open_vault: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    admin = host(open_vault)
    entry = await admin.entry(fields={"password": CANARY, "note": CANARY})
    path = f"{ENTRIES}/{entry['id']}"
    said = [
        (await admin.put(path, fields={"password": CANARY + "2"})).text,
        (await admin.post(f"{path}/versions/1/restore")).text,
        (await admin.get(path)).text,
        (await admin.get(f"{path}/versions")).text,
        (await admin.post(ENTRIES, folder="servers", name="root", type="password", fields={"password": CANARY})).text,
        (await admin.post(ENTRIES, folder="x", name="y", type="password", fields={"bad name": CANARY})).text,
        (await admin.post(ENTRIES, folder="x", name="y", type="password", fields={"password": [CANARY]})).text,
        (await admin.check_out(entry)).text,
        (await admin.get(CHECKOUTS)).text,
        (await admin.post("/api/v1/vault/keys/rotate")).text,
        (await admin.get("/api/v1/audit/events?limit=100")).text,
    ]
    assert (await admin.reveal(entry)).json()["fields"]["password"] == CANARY
    # The database with its journal, keys and all else that this node has written.
    places = contents(tmp_path)
    assert any(name.endswith("rppam.db-wal") for name in places)
    places |= {"answers": "\n".join(said).encode(), "log": caplog.text.encode()}
    found = [(name, one) for name, data in places.items() for one in spellings(CANARY) if one in data]
    assert found == []


async def test_a_secret_is_shown_for_a_code_that_was_given_just_now(served: Served) -> None:
    entry = await host(served).entry()
    headers, secret, backup = await enrolled(served)
    ada = Person(served, "admin", headers)
    shown = await ada.reveal(entry, code=code(secret, 1))
    assert shown.status_code == 200, shown.text
    again = await ada.reveal(entry, code=code(secret, 1))
    assert again.status_code == 403, "each code is good once"
    assert (await ada.reveal(entry, code=backup[0])).status_code == 200
    # A code is not used up where the right is lacking.
    never = await host(served).entry("never", reveal="never")
    assert (await ada.reveal(never, code=backup[1])).json()["code"] == "RPPAM-8407"
    assert (await ada.reveal(entry, code=backup[1])).status_code == 200
