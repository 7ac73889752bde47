"""Every type of entry: what it takes, what it shows, and what it never shows."""

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from rppam.vault.model import EntryType
from tests.support.authority import Authority
from tests.support.served import Served
from tests.vault.people import ENTRIES, host
from tests.vault.test_command import run, said

SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ROOM = 1 << 20
pytestmark = pytest.mark.integration


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def pfx(folder: Path) -> bytes:
    """A key and its certificate in one file, as Windows exports them."""
    issued = Authority(folder).certify("localhost")
    locked = serialization.BestAvailableEncryption(b"open")
    return pkcs12.serialize_key_and_certificates(b"web1", issued.key, issued.certificate, None, locked)


EACH: dict[EntryType, dict[str, str]] = {
    EntryType.PASSWORD: {"username": "root", "password": "s3cret"},
    EntryType.SSH_KEY: {"privateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n", "passphrase": "y", "publicKey": "z"},
    EntryType.SSH_CA_ACCOUNT: {},
    EntryType.DATABASE: {"username": "sa", "password": "s3cret", "database": "master"},
    EntryType.LDAP: {"username": "cn=admin,dc=corp", "password": "s3cret"},
    EntryType.API_TOKEN: {"token": "ghp_x"},
    EntryType.CERTIFICATE: {"certificate": "-----BEGIN CERTIFICATE-----\nx\n", "pfx": encoded(bytes(range(256)))},
    EntryType.TOTP_SEED: {"username": "anna", "seed": SEED},
    EntryType.NOTE: {"text": "the key is\nunder the mat"},
    EntryType.FILE: {"name": "wallet.kdbx", "content": encoded(bytes(range(256)))},
}


@pytest.mark.parametrize("type_", list(EntryType))
async def test_each_type_is_kept_and_shown_as_it_was(open_vault: Served, type_: EntryType) -> None:
    admin, fields = host(open_vault), EACH[type_]
    made = await admin.entry(type=type_.value, fields=fields, exclusive=False)
    assert (made["type"], made["version"]) == (type_.value, 1 if fields else 0)
    shown = await admin.reveal(made)
    if type_ is EntryType.SSH_CA_ACCOUNT:
        assert (shown.status_code, shown.json()["code"]) == (403, "RPPAM-8407")
        return
    assert shown.status_code == 200, shown.text
    found = shown.json()["fields"]
    if type_ is EntryType.TOTP_SEED:
        assert (found["username"], len(found["code"]), SEED in shown.text) == ("anna", 6, False)
        return
    assert (found, shown.json()["secondsLeft"]) == (fields, None)


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("password", {"username": "root"}),
        ("ssh-key", {"passphrase": "HUSH"}),
        ("database", {"username": "HUSH"}),
        ("ldap", {}),
        ("api-token", {}),
        ("certificate", {"pfx": "HUSH: no base64"}),
        ("certificate", {"pfx": "HUSHA"}),
        ("totp-seed", {"username": "HUSH"}),
        ("totp-seed", {"seed": "HUSH-0189"}),
        ("totp-seed", {"seed": "otpauth://hotp/x?secret=" + SEED}),
        ("totp-seed", {"seed": f"otpauth://totp/x?secret={SEED}&digits=4"}),
        ("totp-seed", {"seed": f"otpauth://totp/x?secret={SEED}&period=HUSH"}),
        ("totp-seed", {"seed": f"otpauth://totp/x?secret={SEED}&algorithm=HUSH"}),
        ("totp-seed", {"seed": "otpauth://totp/x"}),
        ("file", {"content": "HUSH!"}),
        ("file", {"name": "HUSH"}),
    ],
)
async def test_what_is_no_such_thing_is_refused_and_never_repeated(
    open_vault: Served, type_: str, fields: dict[str, str]
) -> None:
    body = {"folder": "servers", "name": "x", "type": type_, "fields": fields}
    answer = await host(open_vault).post(ENTRIES, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "RPPAM-8402"), answer.text
    assert "HUSH" not in answer.text
    assert SEED not in answer.text


async def test_any_bytes_go_in_and_come_out_by_command(open_vault: Served, tmp_path: Path) -> None:
    content = b"\x00\xff\r\n\x80" + os.urandom(5_000)
    file, bundle = tmp_path / "wallet.kdbx", tmp_path / "web1.pfx"
    file.write_bytes(content)
    bundle.write_bytes(pfx(tmp_path))
    made = await said(open_vault, "vault", "put", "files/wallet", "--type", "file", "--file", f"content={file}")
    await run(open_vault, "vault", "put", "files/web1", "--type", "certificate", "--file", f"pfx={bundle}")
    for name, field, expected in (("wallet", "content", content), ("web1", "pfx", bundle.read_bytes())):
        words = ("vault", "reveal", f"files/{name}", "--reason", "x")
        assert (await run(open_vault, *words, "--field", field)).stdout_bytes == expected
        listed = (await run(open_vault, *words)).stdout
        assert listed == f"{field}: {len(expected)} bytes (--field {field} writes them)\n"
    shown = (await host(open_vault).reveal(made)).json()["fields"]
    assert base64.b64decode(shown["content"]) == content
    again = await said(open_vault, "vault", "put", "files/wallet", "--file", f"content={bundle}")
    assert again["version"] == 2, "the type of an entry that is there counts"
    text = await run(open_vault, "vault", "put", "files/x", "--file", f"password={file}", code=2)
    assert "expected a readable text file" in text.stderr
    assert "content" in text.stderr, "it says where binary content goes"


async def test_a_file_has_as_much_room_as_any_field(open_vault: Served) -> None:
    admin = host(open_vault)
    full = encoded(b"\xff" * ROOM)
    entry = await admin.entry(type="file", fields={"content": full}, exclusive=False)
    assert (await admin.reveal(entry)).json()["fields"]["content"] == full
    more = await admin.put(f"{ENTRIES}/{entry['id']}", fields={"content": encoded(b"\xff" * (ROOM + 1))})
    assert (more.status_code, more.json()["code"]) == (400, "RPPAM-8402")
    assert f"at most {ROOM} bytes, found {ROOM + 1}" in more.json()["detail"]
    folded = "\n".join(encoded(b"x" * 100)[at : at + 64] for at in range(0, 136, 64))
    assert (await admin.put(f"{ENTRIES}/{entry['id']}", fields={"content": folded})).status_code == 200
    assert (await admin.reveal(entry)).json()["fields"]["content"] == encoded(b"x" * 100), "in its one form"
