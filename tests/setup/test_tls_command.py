"""``rppam tls``: files as OpenSSL and every other program want them, never lost, and the same after a renewal."""

import json
import os
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from rppam.crypto.pfx import read_pfx
from rppam.kernel.secret import Secret
from tests.setup.made import rppam

pytestmark = pytest.mark.integration


def tls(*words: str | Path) -> list[dict[str, Any]]:
    done = rppam("tls", *map(str, words), "--json")
    said: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return said


def refusal(*words: str | Path) -> str:
    return rppam("tls", *map(str, words), expect=2).stderr


def verify(folder: Path, file: str, *options: str) -> None:
    words = ("verify", "-x509_strict", "-CAfile", "ca.pem", *options, file)
    done = subprocess.run(["openssl", *words], cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_an_authority_and_certificates_that_the_strictest_checker_takes(tmp_path: Path) -> None:
    tls("ca", "--dir", tmp_path)
    tls("issue", "node1.example.com", "10.0.1.11", "fd00::1", "--out", "node1", "--dir", tmp_path)
    tls("issue", "redis1.example.com", "--for", "redis", "--dir", tmp_path)
    for purpose, name in (("sslserver", "node1.example.com"), ("sslserver", "redis1.example.com")):
        file = "node1.pem" if "node1" in name else "redis1.example.com.pem"
        verify(tmp_path, file, "-purpose", purpose, "-verify_hostname", name)
    verify(tmp_path, "node1.pem", "-verify_ip", "10.0.1.11")
    verify(tmp_path, "redis1.example.com.pem", "-purpose", "sslclient")
    assert [mode(tmp_path / name) for name in ("ca.key", "node1.key", "ca.pem")] == [0o600, 0o600, 0o644]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "node1.pem", tmp_path / "node1.key")


@pytest.mark.parametrize("purpose", ["node", "witness"])
def test_a_client_of_redis_gets_a_pfx_and_its_password(tmp_path: Path, purpose: str) -> None:
    tls("ca", "--dir", tmp_path)
    tls("issue", "witness1", "--for", purpose, "--dir", tmp_path)
    password = Secret((tmp_path / "witness1.password").read_text().strip())
    assert [mode(tmp_path / f"witness1.{kind}") for kind in ("pfx", "password")] == [0o600, 0o600]
    pfx = read_pfx(tmp_path / "witness1.pfx", password, setting="a", password_setting="b")
    (tmp_path / "client.pem").write_bytes(pfx.pem()[0])
    verify(tmp_path, "client.pem", "-purpose", "sslclient")
    before = pfx.leaf
    tls("renew", "witness1", "--dir", tmp_path)
    renewed = read_pfx(tmp_path / "witness1.pfx", password, setting="a", password_setting="b")
    assert renewed.leaf != before


def test_the_same_order_changes_nothing_and_another_needs_force(tmp_path: Path) -> None:
    tls("ca", "--dir", tmp_path)
    first = tls("issue", "a.example.com", "--dir", tmp_path)
    assert len(first[0]["written"]) == 2
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert tls("ca", "--dir", tmp_path)[0]["written"] == []
    assert tls("issue", "a.example.com", "--dir", tmp_path)[0]["written"] == []
    refused = refusal("issue", "b.example.com", "--out", "a.example.com", "--dir", tmp_path)
    assert "RPPAM-7104" in refused
    assert "for a.example.com; --force replaces it" in refused
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    assert len(tls("issue", "b.example.com", "--out", "a.example.com", "--force", "--dir", tmp_path)[0]["written"]) == 2


def test_a_renewal_keeps_names_purpose_and_key_and_what_was_signed_stays_good(tmp_path: Path) -> None:
    tls("ca", "--dir", tmp_path)
    tls("issue", "a.example.com", "10.0.0.1", "--out", "a", "--days", "20", "--dir", tmp_path)
    tls("issue", "b.example.com", "--out", "b", "--dir", tmp_path)
    key, before = (tmp_path / "a.key").read_bytes(), x509.load_pem_x509_certificate((tmp_path / "a.pem").read_bytes())
    (renewed,) = tls("renew", "--dir", tmp_path)
    assert (renewed["name"], renewed["written"]) == ("a", [str(tmp_path / "a.pem")])
    after = x509.load_pem_x509_certificate((tmp_path / "a.pem").read_bytes())
    assert (tmp_path / "a.key").read_bytes() == key
    for kind in (x509.SubjectAlternativeName, x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier):
        held = after.extensions.get_extension_for_class(kind).value
        assert held == before.extensions.get_extension_for_class(kind).value
    assert (after.not_valid_after_utc - before.not_valid_after_utc).days > 700
    assert tls("renew", "--dir", tmp_path) == []
    tls("renew", "a", "--new-key", "--dir", tmp_path)
    assert (tmp_path / "a.key").read_bytes() != key
    tls("renew", "ca", "--dir", tmp_path)
    verify(tmp_path, "a.pem")
    verify(tmp_path, "b.pem")
    assert sorted(one["name"] for one in tls("list", "--dir", tmp_path)) == ["a", "b", "ca"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("issue", "a.example.com"), "make the authority with: rppam tls ca"),
        (("renew", "a"), "neither a.pem nor a.pfx"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    assert told in refusal(*words, "--dir", tmp_path)


@pytest.mark.parametrize(
    "name", ["a b", "-x", "http://a", "ä.example.com", "a/b", "300.1.1.1", "10.0.1", "10.0.1.011", "*.300"]
)
def test_what_is_no_host_name_is_refused(tmp_path: Path, name: str) -> None:
    tls("ca", "--dir", tmp_path)
    said = refusal("issue", "--dir", tmp_path, "--", name)
    assert "expected host names or addresses" in said
    assert "such as " in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.key", "ca.pem"]


def test_somebody_elses_certificate_is_not_renewed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        tls("ca", "--dir", tmp_path / name, "--name", name)
    tls("issue", "a", "--dir", tmp_path / "one")
    for kind in ("pem", "key"):
        shutil.copy(tmp_path / "one" / f"a.{kind}", tmp_path / "two")
    assert "was not issued by the authority" in refusal("renew", "a", "--dir", tmp_path / "two")
    (tmp_path / "two" / "ca.key").write_bytes((tmp_path / "one" / "ca.key").read_bytes())
    assert "do not belong together" in refusal("issue", "b", "--dir", tmp_path / "two")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_files_belong_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    folder = tmp_path / "tls"
    tls("ca", "--dir", folder)
    tls("issue", "a", "--dir", folder)
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {12345}
