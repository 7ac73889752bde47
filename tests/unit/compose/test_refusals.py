"""What the configuration may say and the node cannot do yet is refused at start, by name."""

from pathlib import Path

import pytest

from rppam.adapters.system.secrets import HostSecrets
from rppam.compose.parts import refuse_what_is_not_built
from rppam.config.load import parse_settings
from rppam.domain.errors.config import ConfigValueError
from rppam.domain.exits import Exit


def _settings(tmp_path: Path, redis: str):
    text = '{"redis": {"enabled": true, ' + redis + "}}"
    return parse_settings(text, outside=HostSecrets(), folder=tmp_path)


def test_sentinel_and_a_client_certificate_are_refused_together(tmp_path: Path) -> None:
    settings = _settings(
        tmp_path, '"connectionString": "s1,s2,serviceName=m,ssl=true", "tlsEnabled": true, "tlsCertPath": "/c.pfx"'
    )
    with pytest.raises(ConfigValueError) as caught:
        refuse_what_is_not_built(settings)
    text = str(caught.value)
    assert "redis.connectionString" in text
    assert "redis.tlsCertPath" in text
    assert caught.value.row.exit is Exit.CONFIGURATION


def test_one_redis_is_accepted(tmp_path: Path) -> None:
    refuse_what_is_not_built(_settings(tmp_path, '"connectionString": "h:6379,ssl=true"'))
