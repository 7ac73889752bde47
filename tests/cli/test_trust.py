"""Whom commands believe: the authority is enough where the node's own certificate cannot be read."""

import json
from pathlib import Path

import pytest

from rppam.cli.trust import trust_of
from rppam.config.errors import ConfigError
from rppam.config.load import load_settings
from rppam.config.settings import Settings


def settings(folder: Path, **more: str) -> Settings:
    """Of a node whose certificate was taken away."""
    file = folder / "rppam.config"
    file.write_text(json.dumps({"api": {"tlsCertPath": str(folder / "gone.pem"), **more}}), encoding="utf-8")
    file.chmod(0o600)
    return load_settings(file)


def test_the_authority_is_enough(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    assert trust_of(settings(tmp_path, tlsCaPath=str(ca)), "https://localhost:7101").ca == ca
    assert trust_of(settings(tmp_path), "https://localhost:7101", ca).ca == ca


def test_without_one_it_is_said_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.pem"):
        trust_of(settings(tmp_path), "https://localhost:7101")
