"""``init`` takes what ``redis setup`` and ``tls`` wrote, and the next node gets what all share from the bundle."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from rppam.config.load import load_settings
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.setup.bundle import Bundle, seal, unseal
from rppam.setup.errors import InitError
from rppam.setup.placed_files import PREFIX, of_redis, unpacked
from tests.setup.made import rppam

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    hosts = [word for number in (1, 2, 3) for word in ("--host", f"10.0.1.1{number}")]
    rppam("redis", "setup", "--dir", str(folder / "redis"), "--tls", "--sentinel", *hosts)
    rppam("tls", "ca", "--dir", str(folder / "tls"))
    for name in ("node1", "node2"):
        rppam("tls", "issue", name, "--dir", str(folder / "tls"))
    (folder / "password").write_text("of-the-database\n")
    return folder


def first(desk: Path, folder: Path, *more: str) -> dict[str, Any]:
    tls = desk / "tls"
    words = [
        *("init", "--dir", str(folder), "--node-name", "node1", "--redis-files", str(desk / "redis" / "node")),
        *("--database", "postgresql://rppam@db1/rppam", "--database-password-file", str(desk / "password")),
        *("--api-cert", str(tls / "node1.pem"), "--api-key", str(tls / "node1.key"), "--api-ca", str(tls / "ca.pem")),
        *("--host", "0.0.0.0", "--advertise-url", "https://node1:7101", "--virtual-ip", "10.0.1.50/24", "--json"),
    ]
    said: dict[str, Any] = json.loads(rppam(*words, *more).stdout)
    return said


def test_a_first_node_has_all_its_files_beside_its_config_and_a_second_run_changes_nothing(
    desk: Path, tmp_path: Path
) -> None:
    said = first(desk, tmp_path / "a")
    assert said["warnings"] == []
    settings = load_settings(tmp_path / "a" / "rppam.config")
    assert settings.redis.password is not None
    assert settings.redis.password.reveal() == (desk / "redis" / "node" / "redis.password").read_text().strip()
    assert settings.redis.tls_ca_path == tmp_path / "a" / "redis-ca.crt"
    assert settings.api.tls_cert_path == tmp_path / "a" / "tls" / "node1.pem"
    assert settings.cluster.virtual_ip == "10.0.1.50/24"
    assert settings.cluster.enabled
    for path in (tmp_path / "a").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    text = (tmp_path / "a" / "rppam.config").read_text()
    held = json.loads((desk / "redis" / "secrets.json").read_text()).values()
    assert not [one for one in held if one in text]
    assert first(desk, tmp_path / "a")["written"] == []


def test_the_next_node_gets_from_the_bundle_what_all_share_and_brings_its_own_certificate(
    desk: Path, tmp_path: Path
) -> None:
    bundle, passphrase = str(tmp_path / "join.bundle"), str(tmp_path / "passphrase")
    first(desk, tmp_path / "a", "--bundle", bundle, "--passphrase-file", passphrase)
    tls = desk / "tls"
    rppam(
        *(
            "init",
            "--dir",
            str(tmp_path / "b"),
            "--join",
            bundle,
            "--passphrase-file",
            passphrase,
            "--node-name",
            "node2",
        ),
        *("--advertise-url", "https://node2:7101", "--api-cert", str(tls / "node2.pem")),
        *("--api-key", str(tls / "node2.key")),
    )
    settings = load_settings(tmp_path / "b" / "rppam.config")
    for name in ("redis.password", "redis-ca.crt", "redis-client.pfx", "tls/ca.pem"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    assert settings.api.tls_cert_path == tmp_path / "b" / "tls" / "node2.pem"
    assert settings.redis.tls_cert_path == tmp_path / "b" / "redis-client.pfx"
    assert str(tmp_path / "a") not in (tmp_path / "b" / "rppam.config").read_text()
    assert not (tmp_path / "b" / "tls" / "node1.key").exists(), "a key of one node goes to no other"
    sealed = unseal(
        Path(bundle).read_text(), Secret(Path(passphrase).read_text().strip()), SystemClock().wall_ms(), place="x"
    )
    assert not [name for name in sealed.files if "tlsKeyPath" in name or "api.tlsCertPath" in name]


def test_a_witness_gets_whom_to_believe_and_no_password_of_the_nodes(desk: Path, tmp_path: Path) -> None:
    bundle, passphrase = str(tmp_path / "witness.bundle"), str(tmp_path / "passphrase")
    first(desk, tmp_path / "a")
    rppam("init", "--witness", "--dir", str(tmp_path / "a"), "--bundle", bundle, "--passphrase-file", passphrase)
    sealed = unseal(
        Path(bundle).read_text(), Secret(Path(passphrase).read_text().strip()), SystemClock().wall_ms(), place="x"
    )
    assert sorted(sealed.files) == ["cluster.key", "named/redis.tlsCaPath/redis-ca.crt"]
    said = json.loads(
        rppam(
            *("init", "--witness", "--dir", str(tmp_path / "w"), "--join", bundle, "--passphrase-file", passphrase),
            *("--node-name", "witness1", "--host", "10.0.1.13", "--redis-files", str(desk / "redis" / "witness")),
            "--json",
        ).stdout
    )
    assert said["warnings"] == []
    settings = load_settings(tmp_path / "w" / "rppam-witness.config")
    assert settings.redis.connection is not None
    assert settings.redis.connection.user == "rppam-witness"
    held = json.loads((desk / "redis" / "secrets.json").read_text())
    text = "".join(path.read_text() for path in (tmp_path / "w").rglob("*") if path.is_file())
    assert held["witness"] in text
    assert held["node"] not in text
    assert (tmp_path / "w" / "keys" / "redis.password").read_text().strip() == held["witness"]


@pytest.mark.parametrize(
    "name",
    ["named/redis.password/../../etc/passwd", "named/auth.jwtKeysDir/x", "named/redis.password/", "named/x",
     "named/redis.password/.ssh/authorized_keys"],
)  # fmt: skip
def test_a_bundle_places_nothing_outside_the_folder_of_the_config(tmp_path: Path, name: str) -> None:
    passphrase = Secret("a")
    content = Secret(base64.b64encode(b"x").decode())
    now = SystemClock().wall_ms()
    opened = unseal(seal(Bundle({}, {name: content}), passphrase, now), passphrase, now, place="x")
    with pytest.raises(InitError, match="does not know"):
        unpacked(opened.files, tmp_path)
    with pytest.raises(InitError, match="does not know"):
        unpacked({f"{PREFIX}redis.password/a": Secret("no base64!")}, tmp_path)


def test_two_files_of_one_name_both_have_a_place(tmp_path: Path) -> None:
    files = {
        f"{PREFIX}{section}.tlsCaPath/ca.pem": Secret(base64.b64encode(section.encode()).decode())
        for section in ("api", "redis")
    }
    placed = unpacked(files, tmp_path)
    assert sorted(placed.files.values()) == [b"api", b"redis"]
    assert placed.values["redis"]["tlsCaPath"] != placed.values["api"]["tlsCaPath"]


def test_what_is_no_folder_of_redis_setup_is_named(tmp_path: Path) -> None:
    with pytest.raises(InitError, match="cannot be read"):
        of_redis(tmp_path, tmp_path)
    (tmp_path / "rppam.config.redis.json").write_text("[]")
    with pytest.raises(InitError, match="expected the section that rppam redis setup writes"):
        of_redis(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--start",), "--start goes with --service"),
        (("--service",), "the unit reads /etc/rppam"),
        (("--redis", "h", "--redis-files", "."), "--redis-files goes without --redis"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    done = rppam("init", "--dir", str(tmp_path / "a"), "--node-name", "node1", *words, expect=2)
    assert told in done.stderr or "--service" in done.stderr
    assert not (tmp_path / "a").exists()
