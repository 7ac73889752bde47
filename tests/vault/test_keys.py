"""Where the master key is from, and what a source that has none says."""

import base64
import secrets
from pathlib import Path
from typing import Any

import pytest

from rppam.config.settings import Settings
from rppam.vault.errors import MasterKeyMissing
from rppam.vault.keys import CREDENTIAL, VARIABLE, read_masters
from tests.support.served import configured


def settings(tmp_path: Path, **vault: Any) -> Settings:
    folder = tmp_path / "keys"
    folder.mkdir(exist_ok=True)
    return configured(folder, "node1", {"vault": vault})


def write_key(path: Path) -> str:
    """A key file; its text."""
    text = base64.b64encode(secrets.token_bytes(32)).decode()
    path.write_text(text + "\n")
    path.chmod(0o600)
    return text


def test_the_sealing_key_gives_one_that_goes_along_with_it(tmp_path: Path) -> None:
    alone = read_masters(settings(tmp_path))
    assert read_masters(settings(tmp_path)) == alone
    sealing = tmp_path / "keys" / "sealing.key"
    sealing.write_text(secrets.token_hex(32))
    sealing.chmod(0o600)
    with_key = read_masters(settings(tmp_path))
    assert with_key.own != alone.own
    assert with_key.find(alone.own.fingerprint) in with_key.gone, "what the lone key wrapped is wrapped anew"


def test_a_file_may_have_the_next_and_the_previous_key_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    given = settings(tmp_path, keySource="file", keyPath=str(path))
    with pytest.raises(MasterKeyMissing, match=r"keySource file.*vault\.key"):
        read_masters(given)
    write_key(path)
    only = read_masters(given)
    assert (only.coming, only.gone) == ((), ())
    write_key(tmp_path / "vault.key.next")
    path.rename(tmp_path / "vault.key.previous")
    write_key(path)
    found = read_masters(given)
    assert found.gone == (only.own,)
    assert len({found.own, *found.coming, *found.gone}) == 3
    path.chmod(0o644)
    with pytest.raises(MasterKeyMissing, match="open to"):
        read_masters(given)


def test_a_credential_of_the_unit_and_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    by_unit, by_variable = settings(tmp_path, keySource="systemd"), settings(tmp_path, keySource="env")
    for given in (by_unit, by_variable):
        with pytest.raises(MasterKeyMissing):
            read_masters(given)
    text = write_key(tmp_path / CREDENTIAL)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv(VARIABLE, text)
    assert read_masters(by_unit) == read_masters(by_variable)
    for wrong in ("", "short", text + "x", text[:-8]):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(MasterKeyMissing, match="32 bytes") as refused:
            read_masters(by_variable)
        assert not wrong or wrong not in str(refused.value)


def test_while_the_source_changes_the_one_before_is_read_too(tmp_path: Path) -> None:
    before = read_masters(settings(tmp_path)).own
    path = tmp_path / "vault.key"
    write_key(path)
    moved = settings(tmp_path, keySource="file", keyPath=str(path), keySourceBefore="sealing-key")
    found = read_masters(moved)
    assert (found.gone, found.own != before) == ((before,), True)
