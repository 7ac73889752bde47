"""Lines to paste have the paths and the port of this host, and say so where they belong on another one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rppam.catalogue.table import ROWS
from rppam.config.load import load_settings
from rppam.doctor.own_host import OwnHost


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], OwnHost]:
    """With a Redis at that place."""

    def made(redis: str) -> OwnHost:
        config = tmp_path / "rppam.config"
        config.write_text(
            '{"node": {"dataDir": "/srv/pam"}, "api": {"port": 8443},'
            f' "redis": {{"enabled": true, "connectionString": "{redis}"}},'
            ' "auth": {"clusterKeyPath": "/srv/keys/cluster.key"}}'
        )
        config.chmod(0o600)
        return OwnHost.of(load_settings(config), config)

    return made


def lines(own: OwnHost, code: str) -> dict[str, str]:
    _, *found = own.fitted(ROWS[code].fix.text()).split("\n")
    return dict(line.split(": ", 1) for line in found)


def test_paths_and_port_are_those_of_the_config(own: Callable[[str], OwnHost], tmp_path: Path) -> None:
    here = own("127.0.0.1:6379")
    assert lines(here, "RD-603")["Debian/Ubuntu"].startswith("sudo chown -R $USER: /srv/keys;")
    assert "'sport = :8443'" in lines(here, "RD-608")["Debian/Ubuntu"]
    assert str(tmp_path / "rppam.config") in lines(here, "RD-607")["RHEL"]


def test_a_line_for_another_host_keeps_the_places_of_packages(own: Callable[[str], OwnHost]) -> None:
    for code in ("RD-629", "RD-908"):
        assert lines(own("127.0.0.1:6379"), code)["RHEL"] == "there: sudo rppam doctor --config /etc/rppam/rppam.config"


def test_what_restarts_redis_is_named_for_the_host_of_redis(own: Callable[[str], OwnHost]) -> None:
    for place in ("127.0.0.1:6379", "localhost:6379", "127.0.0.1:6379,127.0.0.1:6380"):
        assert lines(own(place), "RD-304")["Debian/Ubuntu"].startswith("sudo ")
    there = own("192.0.2.7:6379")
    assert lines(there, "RD-304")["Debian/Ubuntu"].startswith("on 192.0.2.7: sudo ")
    assert lines(there, "RD-603")["Debian/Ubuntu"].startswith("sudo chown"), "that is of this host"
    several = own("192.0.2.7:26379,192.0.2.8:26379,serviceName=rppam-master")
    assert lines(several, "RD-304")["Debian/Ubuntu"].startswith("sudo "), "which of them, the evidence says"


def test_what_no_unit_starts_is_started_by_hand(own: Callable[[str], OwnHost], tmp_path: Path) -> None:
    here = own("127.0.0.1:6379")
    assert lines(here, "RD-709")["RHEL"] == f"rppam node --config {tmp_path}/rppam.config"
    assert lines(here._replace(is_by_hand=False), "RD-709")["RHEL"].startswith("sudo systemctl start rppam;")
