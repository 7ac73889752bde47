"""Which node a command asks that brings its own token: the one that is named, else this host's own."""

import json
from pathlib import Path

import pytest

from rppam.access.tokens.target import DEFAULT_URL, place_of
from rppam.config.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "rppam.config"
    file.write_text(json.dumps({"api": {"host": "0.0.0.0", "port": 7309, "tlsCaPath": "ca.pem"}}))
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("is_named", [True, False])
def test_without_an_address_it_is_the_configs_own_node(
    config: Path, monkeypatch: pytest.MonkeyPatch, *, is_named: bool
) -> None:
    monkeypatch.setenv("RPPAM_CONFIG", "/nowhere" if is_named else str(config))
    url, trust = place_of(None, config if is_named else None, None)
    assert url == "http://127.0.0.1:7309"
    assert trust.ca is not None
    assert trust.ca.name == "ca.pem"
    assert place_of(None, config if is_named else None, Path("other.pem"))[1].ca == Path("other.pem")


def test_what_is_named_goes_before_the_config(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPPAM_CONFIG", str(config))
    assert place_of("http://pam:1", None, None)[0] == "http://pam:1"
    assert place_of("http://pam:1", config, None)[0] == "http://pam:1"


def test_a_config_that_nobody_named_and_that_cannot_be_used_is_in_nobodys_way(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RPPAM_CONFIG", "/nowhere")
    assert place_of(None, None, None)[0] == DEFAULT_URL
    monkeypatch.setenv("RPPAM_CONFIG", str(config))
    config.write_text("{")
    assert place_of(None, None, None)[0] == DEFAULT_URL
    with pytest.raises(ConfigError):
        place_of(None, config, None)
