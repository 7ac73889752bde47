"""Whose name stands in the tokens that commands make on a host."""

import getpass
import json
import socket
from pathlib import Path

import pytest

from rppam.access.tokens.host import SUBJECT, host_of, operator, tokens_of
from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.config.load import load_settings
from tests.access.tokens.test_command import NOON


def name_in(config: Path, subject: str = SUBJECT) -> str:
    """The subject of the token, which the node takes as it is signed."""
    return tokens_of(load_settings(config)).verify(host_of(config, subject).token().reveal()).subject


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "rppam.config"
    auth = {"jwtKeysDir": str(tmp_path / "keys")}
    file.write_text(json.dumps({"node": {"nodeName": "node1", "dataDir": str(tmp_path / "data")}, "auth": auth}))
    file.chmod(0o600)
    ensure_signing_keys(tmp_path / "keys", now_ms=NOON)
    return file


@pytest.mark.parametrize("subject", [SUBJECT, "session@host", "recording@host"])
def test_it_is_who_typed_the_command(config: Path, monkeypatch: pytest.MonkeyPatch, subject: str) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    monkeypatch.setattr(socket, "gethostname", lambda: "pam-1")
    assert name_in(config, subject) == "anna@pam-1"


def test_where_the_account_has_no_name_it_is_the_command(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert name_in(config, "session@host") == "session@host"
    assert operator() == "operator@host"


def test_what_the_cluster_does_by_itself_is_nobodys(config: Path) -> None:
    assert name_in(config, "schedule@cluster") == "schedule@cluster"
