"""A password is changed behind Sentinel: on every replica that there is, also on one that is down, or not at all."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rppam.config.load import load_settings
from rppam.config.settings import Settings
from rppam.kernel.secret import Secret
from rppam.setup.redis_rotation import Admin, RotationError, add, keep_only
from tests.support.redis_servers import SERVERS, Server, need
from tests.support.sentinels import NAME, PASSWORD, SentinelLab

pytestmark = [pytest.mark.integration, pytest.mark.server, pytest.mark.slow, pytest.mark.sentinel]

KIND = next(kind for kind in SERVERS if kind.name == "redis-8")
NEW = Secret("the-password-that-is-to-come")
ADMIN = Admin(None, Secret(PASSWORD))


@pytest.fixture
def sentinels() -> Iterator[SentinelLab]:
    need(KIND)
    with SentinelLab(KIND) as lab:
        yield lab


def settings_for(lab: SentinelLab, folder: Path) -> Settings:
    file = folder / "rppam.config"
    redis = {"enabled": True, "connectionString": lab.connection_string}
    file.write_text(json.dumps({"node": {"nodeName": "node1", "dataDir": str(folder)}, "redis": redis}))
    file.chmod(0o600)
    return load_settings(file)


def passwords(server: Server) -> int:
    return len(server.ask("ACL", "GETUSER", "default")[3])


async def test_a_replica_that_is_down_stops_a_change_until_it_is_forced(sentinels: SentinelLab, tmp_path: Path) -> None:
    settings = settings_for(sentinels, tmp_path)
    down, *up = (one for one in sentinels.servers if one is not sentinels.primary)
    address = f"127.0.0.1:{sentinels.client_port(down)}"
    down.kill()
    sentinels.wait_for(
        lambda: b"connected_slaves:1\r\n" in sentinels.primary.ask("INFO", "replication"), "the primary misses it"
    )
    with pytest.raises(RotationError, match=address):
        await add(settings, ADMIN, NEW, force=False)
    with pytest.raises(RotationError, match=address):
        await keep_only(settings, ADMIN, NEW, force=False)
    assert [passwords(one) for one in (sentinels.primary, *up)] == [1, 1], "nothing was changed"

    told = await add(settings, ADMIN, NEW, force=True)
    assert [one for one in told if one.startswith(f"TO DO: {address}: ")], told
    assert [passwords(one) for one in (sentinels.primary, *up)] == [2, 2]


async def test_a_password_that_replicas_enter_with_is_not_taken_away(sentinels: SentinelLab, tmp_path: Path) -> None:
    settings = settings_for(sentinels, tmp_path)
    told = await add(settings, ADMIN, NEW, force=False)
    assert "masterauth" in told[0]
    assert f"SENTINEL SET {NAME} auth-pass" in told[0]
    with pytest.raises(RotationError, match="masterauth"):
        await keep_only(settings, ADMIN, NEW, force=False)
    assert [passwords(one) for one in sentinels.servers] == [2, 2, 2], "nothing was taken away"

    for server in sentinels.servers:
        server.ask("CONFIG", "SET", "masterauth", NEW.reveal())
    for sentinel in sentinels.sentinels:
        sentinel.ask("SENTINEL", "SET", NAME, "auth-pass", NEW.reveal())
    told = await keep_only(settings, ADMIN, NEW, force=False)
    assert [one for one in told if "secrets.json as 'default'" in one], told
    for server in sentinels.servers:
        server.password = NEW.reveal()
    assert [passwords(one) for one in sentinels.servers] == [1, 1, 1]
