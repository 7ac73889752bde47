"""Passwords beside the string, encrypted, from a file or from the environment; files that others can read."""

import base64
import sys
from pathlib import Path

import pytest

from rppam.config.errors import ConfigFileError
from rppam.config.host_secrets import create_key, encrypt, read_key
from rppam.config.load import load_settings
from rppam.config.places import LINUX, WINDOWS, config_path
from rppam.kernel.secret import Secret
from tests.support.parsing import REDIS, only, parse


def test_the_password_of_the_sentinels_may_stand_beside_the_string() -> None:
    string = "s1,serviceName=m,password=p"
    settings = parse({"redis": {"connectionString": string, "sentinelPassword": "a,b"}})
    assert settings.redis.connection is not None
    assert settings.redis.connection.sentinel_password == Secret("a,b")
    assert settings.redis.connection.password == Secret("p")
    assert settings.warnings == ()
    twice = {"redis": {"connectionString": string + ",sentinelPassword=x", "sentinelPassword": "HUSH"}}
    assert only(twice).path == "redis.sentinelPassword"
    assert "HUSH" not in str(only(twice))
    alone = parse({"redis": {"connectionString": "h", "sentinelPassword": "x"}})
    assert ["serviceName" in warning for warning in alone.warnings] == [True]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys" / "config.key"
    create_key(path)
    return path


def with_key(key_file: Path, **redis: object) -> dict[str, object]:
    return {"auth": {"secretKeyPath": str(key_file)}, "redis": REDIS | redis}


@pytest.mark.parametrize("prefix", ["encrypted:", "ENC:"])
def test_encrypted_values_are_decrypted(key_file: Path, prefix: str) -> None:
    value = encrypt(Secret("pä,ss"), read_key(key_file)).replace("encrypted:", prefix)
    string = encrypt(Secret("h:1,user=u"), read_key(key_file))
    settings = parse(with_key(key_file, password=value, tlsCertPassword=value, connectionString=string))
    assert settings.redis.password == Secret("pä,ss")
    assert settings.redis.tls_cert_password == Secret("pä,ss")
    assert settings.redis.connection is not None
    assert settings.redis.connection.user == "u"


def test_an_encrypted_value_that_cannot_be_opened_names_its_place(key_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    create_key(other)
    good = encrypt(Secret("HUSH"), read_key(key_file))
    flipped = good[:-6] + ("A" if good[-6] != "A" else "B") + good[-5:]
    for value, path, found in [
        (good, other, "another key"),
        (flipped, key_file, "it was changed"),
        (good[:30], key_file, "cut off"),
        ("encrypted:base64-encrypted-password-here", key_file, "not base64"),
        ("ENC:", key_file, "cut off"),
        ("encrypted:" + base64.b64encode(b"\x02" * 60).decode(), key_file, "version 2"),
        (good, tmp_path / "none.key", "No such file"),
    ]:
        problem = only(with_key(path, password=value))
        assert problem.path == "redis.password"
        assert found in problem.found
        assert "HUSH" not in problem.sentence()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file modes on Windows")
@pytest.mark.parametrize(("mode", "who"), [(0o640, "its group"), (0o604, "everyone"), (0o620, "its group")])
def test_a_key_file_open_to_others_is_refused(key_file: Path, mode: int, who: str) -> None:
    value = encrypt(Secret("x"), read_key(key_file))
    key_file.chmod(mode)
    problem = only(with_key(key_file, password=value))
    assert who in problem.found
    assert problem.fix == f"Run: chmod 600 {key_file}"


def test_a_key_file_with_something_else_in_it_is_refused(key_file: Path) -> None:
    value = encrypt(Secret("x"), read_key(key_file))
    for content in (b"", b"HUSH", base64.b64encode(b"short"), b"\xff\xfe"):
        key_file.write_bytes(content)
        assert "32 bytes in base64" in only(with_key(key_file, password=value)).expected


def test_a_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("two\nlines\n", encoding="utf-8")
    (tmp_path / "pw").chmod(0o600)
    settings = parse({"redis": REDIS | {"password": {"file": "pw"}}}, tmp_path)
    assert settings.redis.password == Secret("two\nlines")
    assert settings.warnings == ()
    monkeypatch.setenv("RPPAM_TEST_PASSWORD", "a,b")
    assert parse({"redis": REDIS | {"password": {"env": "RPPAM_TEST_PASSWORD"}}}).redis.password == Secret("a,b")


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file"), (b"", "empty"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 70_000, "more")],
)
def test_a_secret_file_that_holds_none_is_an_error(tmp_path: Path, content: bytes | None, found: str) -> None:
    if content is not None:
        (tmp_path / "pw").write_bytes(content)
    assert found in only({"redis": REDIS | {"password": {"file": "pw"}}}, tmp_path).found


@pytest.mark.skipif(sys.platform == "win32", reason="variables are Unicode on Windows")
@pytest.mark.parametrize("key", ["connectionString", "password", "sentinelPassword", "tlsCertPassword"])
def test_a_variable_that_holds_no_text_is_an_error(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("RPPAM_TEST_PASSWORD", "HUSH\udcff")  # the byte 0xff
    problem = only({"redis": REDIS | {key: {"env": "RPPAM_TEST_PASSWORD"}}})
    assert (problem.path, problem.found) == (f"redis.{key}", "bytes that are not UTF-8")
    assert "RPPAM_TEST_PASSWORD" in problem.expected
    assert "HUSH" not in problem.sentence()


def test_a_missing_variable_is_an_error() -> None:
    assert only({"redis": REDIS | {"password": {"env": "RPPAM_NO_SUCH"}}}).found == "no such variable"


# Files


@pytest.mark.skipif(sys.platform == "win32", reason="there are no file modes on Windows")
def test_a_config_file_open_to_others_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "rppam.config"
    path.write_text("{}", encoding="utf-8")
    path.chmod(0o600)
    assert load_settings(path).warnings == ()
    path.chmod(0o644)
    (warning,) = load_settings(path).warnings
    assert "open to everyone" in warning
    assert f"chmod 600 {path}" in warning


def test_a_file_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, tmp_path / "x" / "y", Path("a\0b")):
        with pytest.raises(ConfigFileError) as caught:
            load_settings(path)
        assert "rppam init" in str(caught.value)


def test_option_then_environment_then_platform_choose_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RPPAM_CONFIG", "b")
    assert (config_path("a"), config_path(None)) == (Path("a"), Path("b"))
    monkeypatch.setenv("RPPAM_CONFIG", "")
    assert config_path(None, LINUX) == Path("/etc/rppam/rppam.config")
    monkeypatch.delenv("RPPAM_CONFIG")
    assert str(config_path(None, WINDOWS)) == r"C:\ProgramData\Ravenphyre\RP-PAM\rppam.config"
