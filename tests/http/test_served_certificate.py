"""The API's certificate files: each good form, and each way of being wrong told in one sentence."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from rppam.config.errors import ConfigValueError
from rppam.config.settings import ApiSettings
from rppam.http import served_certificate as module
from rppam.http.served_certificate import ServedCertificate
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from tests.support.authority import Authority
from tests.support.late_threads import LateThreads

PASSWORD = "pä,ss=w#rd 7"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def served(cert: Path, key: Path | None = None, password: str | None = None) -> ServedCertificate:
    secret = None if password is None else Secret(password)
    api = ApiSettings(host="::", port=1, workers=1, drain_s=1, tls_cert_path=cert, tls_key_path=key,
                      tls_cert_password=secret, tls_ca_path=None, trusted_proxies=(),
                      forwarded_header="X-Forwarded-For", metrics_access="open", metrics_token=None)  # fmt: skip
    found = ServedCertificate.of(api, SystemClock())
    assert found is not None
    return found


def sentence(cert: Path, key: Path | None = None, password: str | None = None) -> str:
    with pytest.raises(ConfigValueError) as caught:
        served(cert, key, password)
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def put(path: Path, *parts: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(b"".join(parts))
    path.chmod(mode)
    return path


def test_one_file_two_files_an_encrypted_key_and_a_pfx_are_all_taken(authority: Authority, tmp_path: Path) -> None:
    issued = authority.certify("node1")
    locked = issued.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    cert, key = put(tmp_path / "c.pem", issued.pem(), authority.own.pem()), put(tmp_path / "k.pem", issued.key_pem())
    leaf = served(cert, key).leaf
    assert served(put(tmp_path / "both.pem", issued.key_pem(), issued.pem())).leaf == leaf
    assert served(put(tmp_path / "both.pem", issued.pem(), issued.key_pem())).leaf == leaf
    assert served(cert, put(tmp_path / "locked.pem", locked), PASSWORD).leaf == leaf
    assert served(authority.pfx(password=PASSWORD), None, PASSWORD).leaf != leaf


def test_each_flaw_is_named_with_its_setting_and_fix(authority: Authority, tmp_path: Path) -> None:
    issued, other = authority.certify("node1"), authority.certify("node2")
    cert, key = put(tmp_path / "c.pem", issued.pem()), put(tmp_path / "k.pem", issued.key_pem())
    locked = put(
        tmp_path / "locked.pem",
        issued.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        ),
    )
    assert sentence(tmp_path / "absent").startswith(
        f"api.tlsCertPath: expected a certificate with its key (PEM or .pfx); found {tmp_path}/absent: No such file"
    )
    assert "no private key. Set api.tlsKeyPath to the file that holds the key" in sentence(cert)
    assert "which do not belong together" in sentence(cert, put(tmp_path / "o.pem", other.key_pem()))
    assert "api.tlsCertPassword: expected the password of the key" in sentence(cert, locked)
    assert "a password that does not open it. Check it with: openssl pkey" in sentence(cert, locked, "wrong")
    assert "api.tlsCertPassword: expected" in sentence(authority.pfx(password=PASSWORD), None, "wrong")
    assert "no key file beside a .pfx" in sentence(authority.pfx(password=PASSWORD), key, PASSWORD)
    assert "an empty file" in sentence(put(tmp_path / "empty.pem"))
    assert "none that can be read" in sentence(put(tmp_path / "x.pem", b"-----BEGIN CERTIFICATE-----\nx\n"), key)
    assert "a key that cannot be read" in sentence(
        cert, put(tmp_path / "x.pem", issued.key_pem()[:90], issued.key_pem()[-30:])
    )
    assert f"Run: chmod o= {key}" in sentence(cert, put(key, issued.key_pem(), mode=0o644))


async def test_a_renewed_certificate_that_could_not_be_read_once_is_read_as_soon_as_it_can_be(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = authority.certify("node1"), authority.certify("node1")
    path = put(tmp_path / "both.pem", first.pem(), first.key_pem())
    shown = served(path)
    leaf = shown.leaf
    put(path, second.pem(), second.key_pem())

    asyncio.get_running_loop().set_default_executor(LateThreads())
    await shown.look()
    assert "the one of before stays in use: expected to read what changed, found: RuntimeError" in shown.problem

    def no_memory_file(*_args: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_pair", no_memory_file)
        await shown.look()
        await shown.look()
    assert "OSError: [Errno 24] Too many open files" in shown.problem
    assert caplog.text.count("Too many open files") == 1, "told once"
    assert shown.leaf == leaf

    await shown.look()
    assert shown.problem == ""
    assert shown.leaf != leaf


async def test_a_file_that_is_back_as_it_was_is_no_problem_any_more(authority: Authority, tmp_path: Path) -> None:
    issued = authority.certify("node1")
    (tmp_path / "tls").mkdir()
    shown = served(put(tmp_path / "tls" / "both.pem", issued.pem(), issued.key_pem()))
    away = (tmp_path / "tls").rename(tmp_path / "away")
    await shown.look()
    assert "No such file" in shown.problem
    away.rename(tmp_path / "tls")
    await shown.look()
    assert shown.problem == ""
