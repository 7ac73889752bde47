"""``rppam config check`` and the certificate files: what a node could not start with is a problem here, too."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from rppam.app.config_cli import command
from tests.support import prefork
from tests.support.authority import DAY, NOW, Authority
from tests.support.ports import free_port

RIGHT = "päss"
WRONG = "not-to-be-seen"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def written(folder: Path, *, redis: dict[str, Any] | None = None, api: dict[str, Any] | None = None) -> Path:
    file = folder / "rppam.config"
    tree = {
        "node": {"nodeName": "node1", "dataDir": str(folder / "data")},
        "redis": {"enabled": True, "connectionString": "127.0.0.1:1,ssl=true", **(redis or {})},
        "api": {"host": "127.0.0.1", "port": free_port(), **(api or {})},
    }
    file.write_text(json.dumps(tree))
    file.chmod(0o600)
    return file


def check(file: Path, *, expect: int = 78) -> dict[str, Any]:
    result = CliRunner().invoke(command, ["check", str(file), "--json"])
    assert result.exit_code == expect, result.output
    assert WRONG not in result.output
    assert RIGHT not in result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def keyless(authority: Authority, file: str = "keyless.pfx") -> Path:
    path = authority.folder / file
    lock = serialization.BestAvailableEncryption(RIGHT.encode())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        certificate = authority.certify("node").certificate
        path.write_bytes(pkcs12.serialize_key_and_certificates(None, None, certificate, None, lock))
    return path


def junk(authority: Authority) -> Path:
    path = authority.folder / "junk.pfx"
    path.write_bytes(b"this is no certificate")
    return path


def absent(authority: Authority) -> Path:
    return authority.folder / "absent"


def without_key(authority: Authority) -> Path:
    path = authority.folder / "only.crt"
    path.write_bytes(authority.certify("node").pem())
    return path


Made = Callable[[Authority], Path]
EXPIRED: Made = lambda authority: authority.pfx(since=NOW - 9 * DAY, until=NOW - DAY)  # noqa: E731
GOOD: Made = lambda authority: authority.pfx(until=NOW + 90 * DAY)  # noqa: E731

CASES: dict[str, tuple[str, Made, str, str, str]] = {
    "redis, wrong password": ("redis", GOOD, WRONG, "redis.tlsCertPassword", "a password that does not open"),
    "redis, no file": ("redis", absent, RIGHT, "redis.tlsCertPath", "No such file or directory"),
    "redis, no key": ("redis", keyless, RIGHT, "redis.tlsCertPath", "no private key"),
    "redis, junk": ("redis", junk, RIGHT, "redis.tlsCertPath", "something else"),
    "redis, expired": ("redis", EXPIRED, RIGHT, "redis.tlsCertPath", "one that expired on"),
    "api, wrong password": ("api", GOOD, WRONG, "api.tlsCertPassword", "a password that does not open"),
    "api, no file": ("api", absent, RIGHT, "api.tlsCertPath", "No such file or directory"),
    "api, no key": ("api", without_key, RIGHT, "api.tlsCertPath", "no private key"),
    "api, junk": ("api", junk, RIGHT, "api.tlsCertPath", "something else"),
    "api, expired": ("api", EXPIRED, RIGHT, "api.tlsCertPath", "one that expired on"),
}


@pytest.mark.parametrize(("section", "made", "password", "path", "found"), CASES.values(), ids=CASES)
def test_a_certificate_that_cannot_be_used_is_a_problem(
    section: str, made: Made, password: str, path: str, found: str, authority: Authority, tmp_path: Path
) -> None:
    certificate = made(authority)
    settings = {"tlsCertPath": str(certificate), "tlsCertPassword": password}
    (problem,) = check(written(tmp_path, **{section: settings}))["problems"]
    assert problem["path"] == path
    assert found in problem["found"]
    assert str(certificate) in problem["found"]
    assert problem["expected"]
    assert problem["fix"]


def test_authorities_that_cannot_be_read_are_a_problem(authority: Authority, tmp_path: Path) -> None:
    (problem,) = check(written(tmp_path, redis={"tlsCaPath": str(absent(authority))}))["problems"]
    assert problem["path"] == "redis.tlsCaPath"
    assert "No such file" in problem["found"]


def test_all_problems_come_at_once(authority: Authority, tmp_path: Path) -> None:
    redis = {
        "tlsCaPath": str(absent(authority)),
        "tlsCertPath": str(GOOD(authority)),
        "tlsCertPassword": WRONG,
        "keyPrefix": "no-colon",
    }
    said = check(written(tmp_path, redis=redis, api={"tlsCertPath": str(junk(authority))}))
    paths = {problem["path"] for problem in said["problems"]}
    assert paths == {"redis.keyPrefix", "redis.tlsCaPath", "redis.tlsCertPassword", "api.tlsCertPath"}


def test_what_follows_from_another_problem_is_not_told(authority: Authority, tmp_path: Path) -> None:
    redis = {"tlsCertPath": str(GOOD(authority)), "tlsCertPassword": {"env": "RPPAM_TEST_NO_SUCH_VARIABLE"}}
    (problem,) = check(written(tmp_path, redis=redis))["problems"]
    assert "RPPAM_TEST_NO_SUCH_VARIABLE" in problem["expected"]


def test_good_files_are_no_problem_and_one_that_ends_soon_is_a_warning(authority: Authority, tmp_path: Path) -> None:
    good = {"tlsCertPath": str(GOOD(authority)), "tlsCertPassword": RIGHT}
    said = check(written(tmp_path, redis={**good, "tlsCaPath": str(authority.path)}, api=good), expect=0)
    assert not [warning for warning in said["warnings"] if "expires" in warning]
    soon = str(authority.pfx(file="soon.pfx", until=NOW + 5 * DAY))
    said = check(written(tmp_path, redis={**good, "tlsCertPath": soon}), expect=0)
    assert [warning for warning in said["warnings"] if f"{soon} (CN=node) expires in" in warning]


def test_an_authority_that_has_expired_is_a_problem_and_one_that_ends_soon_a_warning(tmp_path: Path) -> None:
    old = Authority(tmp_path, until=NOW - DAY)
    (problem,) = check(written(tmp_path, redis={"tlsCaPath": str(old.path)}))["problems"]
    assert problem["path"] == "redis.tlsCaPath"
    assert problem["found"].startswith("one that expired on")
    assert problem["found"].endswith(f"in {old.path}")
    soon = Authority(tmp_path, "ending authority", until=NOW + 5 * DAY)
    said = check(written(tmp_path, redis={"tlsCaPath": str(soon.path)}), expect=0)
    assert [warning for warning in said["warnings"] if f"in {soon.path} expires in" in warning]


def test_files_that_no_node_reads_are_no_problem(authority: Authority, tmp_path: Path) -> None:
    off = {"tlsCertPath": str(absent(authority))}
    check(written(tmp_path, redis={**off, "connectionString": "127.0.0.1:1,ssl=false"}), expect=0)
    check(written(tmp_path, redis={**off, "enabled": False}), expect=0)


@pytest.mark.integration
@pytest.mark.parametrize("name", [name for name in CASES if "expired" not in name])
def test_the_node_refuses_to_start_in_the_same_words(name: str, authority: Authority, tmp_path: Path) -> None:
    section, made, password, _, _ = CASES[name]
    file = written(tmp_path, **{section: {"tlsCertPath": str(made(authority)), "tlsCertPassword": password}})
    (problem,) = check(file)["problems"]
    done = prefork.run("node", "--config", file)
    assert done.returncode == 78, done.stderr
    assert problem["found"] in done.stdout + done.stderr
