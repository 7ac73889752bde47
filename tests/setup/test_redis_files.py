"""The files of ``rppam redis setup``: whole, private, kept, and never lost."""

import json
import re
import shutil
import stat
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from rppam.crypto.pfx import read_pfx
from rppam.kernel.secret import Secret
from rppam.setup.certificates import names_of
from rppam.setup.redis_acl import NODE_COMMANDS
from tests.setup.made import rppam
from tests.support.redis_servers import missing

pytestmark = pytest.mark.integration

GROUP = ("--sentinel", "--host", "10.0.1.20", "--host", "10.0.1.21", "--host", "10.0.1.22")
KINDS = {"single": (), "tls": ("--tls",), "group": GROUP, "group-tls": ("--tls", *GROUP)}
SECRET_FILES = {
    "secrets.json", "redis.conf", "sentinel.conf", "users.acl", "rppam.config.redis.json", "redis.password",
}  # fmt: skip


def setup(folder: Path, *words: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    return rppam("redis", "setup", "--dir", str(folder), *words, expect=expect)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def secrets_of(folder: Path) -> dict[str, str]:
    held: dict[str, str] = json.loads((folder / "secrets.json").read_text())
    return held


def test_a_dry_run_names_every_file_and_writes_none(tmp_path: Path) -> None:
    said = json.loads(setup(tmp_path / "r", "--tls", *GROUP, "--dry-run", "--json").stdout)
    assert said["dryRun"] is True
    assert not (tmp_path / "r").exists()
    setup(tmp_path / "r", "--tls", *GROUP)
    assert {str(path) for path in (tmp_path / "r").rglob("*") if path.is_file()} == set(said["written"])


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    setup(tmp_path, "--tls", *GROUP)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said = setup(tmp_path, "--tls", *GROUP).stdout
    assert "stand there already" in said
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_nothing_is_replaced_without_being_told_to_and_then_it_is_kept(tmp_path: Path) -> None:
    setup(tmp_path)
    before = content(tmp_path)
    conf = tmp_path / "redis" / "redis.conf"
    conf.write_text("mine\n")
    refused = setup(tmp_path, expect=2)
    assert str(conf) in refused.stderr
    assert "--force" in refused.stderr
    assert conf.read_text() == "mine\n"
    setup(tmp_path, "--force")
    after = content(tmp_path)
    (backup,) = (name for name in after if ".bak-" in name)
    assert after.pop(backup) == b"mine\n"
    assert after == before, "the passwords are those of the first run"


def test_passwords_and_certificates_survive_a_change_of_wishes(tmp_path: Path) -> None:
    setup(tmp_path, "--tls", "--host", "10.0.1.20")
    before = content(tmp_path)
    setup(tmp_path, "--tls", "--host", "10.0.1.20", "--memory", "2gb", "--force")
    after = content(tmp_path)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"redis/redis.conf"}


def test_another_host_gets_another_server_certificate_from_the_same_authority(tmp_path: Path) -> None:
    setup(tmp_path, "--tls", "--host", "10.0.1.20")
    before = content(tmp_path)
    setup(tmp_path, "--tls", "--host", "redis.example.com", "--force")
    after = content(tmp_path)
    assert after["authority/ca.crt"] == before["authority/ca.crt"]
    assert after["node/redis-client.pfx"] == before["node/redis-client.pfx"]
    assert names_of(after["redis/tls/redis.crt"]) == {"redis.example.com", "localhost", "127.0.0.1", "rppam-redis"}


@pytest.mark.parametrize(
    "words", [(), ("--tls",), GROUP, ("--tls", *GROUP)], ids=["single", "tls", "group", "group-tls"]
)
def test_what_holds_a_secret_is_private_and_nothing_else_holds_one(words: tuple[str, ...], tmp_path: Path) -> None:
    setup(tmp_path, *words)
    secrets = [text.encode() for text in secrets_of(tmp_path).values()]
    for name, held in content(tmp_path).items():
        mode = stat.S_IMODE((tmp_path / name).stat().st_mode)
        holds = any(secret in held for secret in secrets) or b"PRIVATE KEY" in held
        if holds:
            assert Path(name).name in SECRET_FILES or name.endswith(".key"), name
        if holds or name.endswith((".pfx", ".acl")):
            assert mode == 0o600, name
    assert all(len(secret) == 48 for key, secret in secrets_of(tmp_path).items() if key != "config_name")


@pytest.mark.parametrize(
    "words", [(), ("--tls",), GROUP, ("--tls", *GROUP)], ids=["single", "tls", "group", "group-tls"]
)
def test_compose_takes_the_file(words: tuple[str, ...], tmp_path: Path) -> None:
    if shutil.which("docker-compose") is None:
        missing("docker-compose is not on this machine: apt-get install docker-compose")
    version = subprocess.run(["docker-compose", "version", "--short"], capture_output=True, text=True, check=True)
    if version.stdout.startswith("1."):
        pytest.skip("this docker-compose is of before the Compose specification, and gives no JSON")
    setup(tmp_path, *words)
    for file in tmp_path.rglob("docker-compose.yml"):
        done = subprocess.run(
            ["docker-compose", "-f", str(file), "config", "--format", "json"],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        redis = json.loads(done.stdout)["services"]["rppam-redis"]
        assert redis["image"] == "redis:7"
        assert redis["container_name"] == "rppam-redis"
        assert redis["restart"] == "unless-stopped"
        assert [(port["target"], port["published"]) for port in redis["ports"]] == [(6379, "6379")]
        volumes = {volume["target"]: volume for volume in redis["volumes"]}
        assert volumes["/data"]["source"] == "rppam-redis-data"
        mounted = [volume for target, volume in volumes.items() if target.startswith("/setup/")]
        assert mounted
        assert all(volume["read_only"] and Path(volume["source"]).exists() for volume in mounted)


def test_the_articles_lines_are_in_the_configuration(tmp_path: Path) -> None:
    setup(tmp_path, "--tls", "--host", "10.0.1.20")
    conf = (tmp_path / "redis" / "redis.conf").read_text()
    name = secrets_of(tmp_path)["config_name"]
    for line in (
        "bind 127.0.0.1 10.0.1.20",
        'rename-command FLUSHALL ""',
        'rename-command FLUSHDB ""',
        'rename-command DEBUG ""',
        f'rename-command CONFIG "{name}"',
        "tls-port 6379",
        "port 0",
        "tls-cert-file /etc/redis/tls/redis.crt",
        "tls-key-file /etc/redis/tls/redis.key",
        "tls-ca-cert-file /etc/redis/tls/ca.crt",
        "tls-auth-clients optional",
        "appendonly yes",
        "maxmemory-policy noeviction",
    ):
        assert line in conf.splitlines()


def test_every_sentinel_is_told_what_config_is_called(tmp_path: Path) -> None:
    setup(tmp_path, *GROUP)
    name = secrets_of(tmp_path)["config_name"]
    for number in (1, 2, 3):
        sentinel = (tmp_path / f"redis-{number}" / "sentinel.conf").read_text().splitlines()
        assert f"sentinel rename-command rppam-master CONFIG {name}" in sentinel
        assert "sentinel monitor rppam-master 10.0.1.20 6379 2" in sentinel
        redis = (tmp_path / f"redis-{number}" / "redis.conf").read_text().splitlines()
        assert ("replicaof 10.0.1.20 6379" in redis) is (number > 1)
        assert "min-replicas-to-write 1" in redis
        for unit in ("redis-server", "redis-sentinel"):
            drop_in = (tmp_path / f"redis-{number}" / f"{unit}.service.d" / "rppam.conf").read_text()
            assert f"Place: /etc/systemd/system/{unit}.service.d/rppam.conf" in drop_in
            assert {"Restart=always", "LimitNOFILE=65536", "ReadWritePaths=-/etc/redis"} <= set(drop_in.splitlines())


@pytest.mark.parametrize(
    ("family", "units"),
    [("Debian/Ubuntu", ("redis-server", "redis-sentinel")), ("RHEL family", ("redis", "redis-sentinel"))],
)
def test_the_units_run_with_what_the_sheet_places(family: str, units: tuple[str, ...], tmp_path: Path) -> None:
    etc, data, place = tmp_path / "etc", tmp_path / "data", tmp_path / "units"
    setup(tmp_path / "made", "--tls", *GROUP, "--conf-dir", str(etc), "--data-dir", str(data))
    sheet = (tmp_path / "made" / "INSTALL.txt").read_text()
    lines = sheet.split(f"\n   {family}")[1].split("\n\n")[0].splitlines()[1:]
    script = "\n".join(line for line in lines if "sudo install " in line)
    for there, here in (("sudo ", ""), ("-o redis -g redis ", ""), ("/etc/systemd/system", str(place))):
        script = script.replace(there, here)
    subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path / "made" / "redis-1", check=True, timeout=30)
    assert f"systemctl restart {' '.join(units)}" in lines[-1]
    for unit, program, conf in zip(units, ("redis-server", "redis-sentinel"), ("redis", "sentinel"), strict=True):
        drop_in = (place / f"{unit}.service.d" / "rppam.conf").read_text().splitlines()
        command = drop_in[drop_in.index("ExecStart=") + 1]
        assert command.startswith(f"ExecStart=/usr/bin/{program} {etc}/{conf}.conf --supervised systemd")
        assert {f"ReadWritePaths=-{etc}", f"ReadWritePaths=-{data}"} <= set(drop_in)
        text = (etc / f"{conf}.conf").read_text()
        assert all(Path(path).is_file() for path in re.findall(rf"{etc}/\S+", text))
        assert f"dir {data}" in text
    assert data.is_dir()


@pytest.mark.parametrize("unit", ["redis-server", "redis-sentinel"])
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_drop_in_beside_the_units_own_command(unit: str, tmp_path: Path) -> None:
    setup(tmp_path / "made", *GROUP, "--conf-dir", "/opt/redis", "--data-dir", "/srv/redis")
    service = tmp_path / f"{unit}.service"
    service.write_text("[Service]\nType=notify\nExecStart=/bin/sh /etc/redis.conf\nProtectSystem=strict\n")
    drop_in = tmp_path / "made" / "redis-1" / f"{unit}.service.d" / "rppam.conf"
    here = tmp_path / f"{unit}.service.d" / "rppam.conf"
    here.parent.mkdir()
    here.write_text(drop_in.read_text().replace(f"/usr/bin/{unit}", "/bin/sh"))  # it wants the program to be there
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(service)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if unit in line] == []
    assert done.returncode == 0, done.stderr


def test_the_nodes_password_is_a_file_that_a_running_node_reads_again(tmp_path: Path) -> None:
    setup(tmp_path)
    section = json.loads((tmp_path / "node" / "rppam.config.redis.json").read_text())["redis"]
    assert section["password"] == {"file": "/etc/rppam/certs/redis.password"}
    assert (tmp_path / "node" / "redis.password").read_text().strip() == secrets_of(tmp_path)["node"]
    sheet = (tmp_path / "INSTALL.txt").read_text()
    assert "sudo install -m 600 -o rppam redis.password /etc/rppam/certs/" in sheet


def test_the_client_certificate_opens_with_its_password(tmp_path: Path) -> None:
    setup(tmp_path, "--tls")
    password = Secret(secrets_of(tmp_path)["pfx"])
    held = read_pfx(tmp_path / "node" / "redis-client.pfx", password, setting="redis.tlsCertPath", password_setting="x")
    assert held.dates.subject == "CN=rppam-node"


def test_the_nodes_user_may_do_all_that_our_scripts_do() -> None:
    scripts = files("rppam.redis") / "scripts"
    called = {
        name.lower()
        for script in scripts.iterdir()
        for name in re.findall(r"(?:redis\.p?call|try)\('([A-Z]+)'", script.read_text(encoding="utf-8"))
    }
    assert "rename" in called
    assert called <= set(NODE_COMMANDS)


def test_the_nodes_user_may_do_all_that_a_node_asks_for_itself() -> None:
    places = (
        "cluster/store/redis_store.py", "cluster/store/prefix_claim.py", "redis/key_usage.py", "redis/link.py",
        "doctor/redis_probe.py", "redis/handshake.py", "cache/tracking.py",
    )  # fmt: skip
    asked = {
        name.lower()
        for place in places
        for name in re.findall(
            r"(?:command|\b_?ask)\(\s*\"([A-Z]+)\"", files("rppam").joinpath(place).read_text(encoding="utf-8")
        )
    }
    assert {"srem", "pexpire", "scan"} <= asked
    granted = {name.partition("|")[0] for name in NODE_COMMANDS}
    assert asked - granted == {"sentinel"}, "the sentinels have users of their own"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--sentinel",), "--host: expected 3 of them (a primary and two replicas), found 0"),
        (("--host", "a", "--host", "b"), "--host: expected 1 of them (one Redis), found 2"),
        (("--sentinel", *("--host", "a") * 3), "--host: a:6379 is given twice"),
        (("--host", "10.0.0.999"), "--host: expected HOST or HOST:PORT, found numbers that are not an IPv4 address"),
        (("--host", "a:99999"), "--host: expected HOST or HOST:PORT, found port '99999'"),
        (("--sentinel-host", "a"), "--sentinel-host: expected together with --sentinel"),
        (("--prefix", "rppam"), "--prefix: expected 2 to 64 characters that end in one ':', found 'rppam'"),
        (("--service-name", "a b"), "--service-name: expected letters"),
        (("--memory", "255mb"), "--memory: expected 256mb or more, such as 512mb or 1gb, found '255mb'"),
        (("--memory", "1g b"), "--memory: expected 256mb or more"),
        (("--conf-dir", "etc"), "--conf-dir: expected an absolute path"),
        (("--data-dir", "/a\nb"), "--data-dir: expected an absolute path"),
    ],
)
def test_wishes_that_make_no_sense_are_named(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    refused = setup(tmp_path / "r", *words, expect=2)
    assert sentence in " ".join(refused.stderr.split())
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("held", ["", "{}", "[]", '{"default": 1}', "\xff"])
def test_a_broken_file_of_passwords_is_not_replaced(held: str, tmp_path: Path) -> None:
    setup(tmp_path)
    (tmp_path / "secrets.json").write_bytes(held.encode("latin-1"))
    refused = setup(tmp_path, "--force", expect=2)
    assert "secrets.json is not the file of passwords" in " ".join(refused.stderr.split())
    assert (tmp_path / "secrets.json").read_bytes() == held.encode("latin-1")


def test_a_broken_authority_is_not_replaced(tmp_path: Path) -> None:
    setup(tmp_path, "--tls")
    (tmp_path / "authority" / "ca.key").write_text("nothing")
    refused = setup(tmp_path, "--tls", "--force", expect=2)
    assert "authority" in refused.stderr
    assert (tmp_path / "authority" / "ca.key").read_text() == "nothing"


def test_each_password_is_another_one() -> None:
    made = {rppam("redis", "password").stdout for _ in range(3)}
    assert len(made) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9]{48}\n", one) for one in made)
