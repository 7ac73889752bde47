"""What resources and accounts may be made of."""

import base64
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from rppam.targets.errors import ResourceInvalid
from rppam.targets.model import (
    ResourceKind,
    checked_account_name,
    checked_address,
    checked_description,
    checked_name,
    checked_port,
    checked_tags,
    kind_of,
    read_host_key,
)
from tests.support.authority import Authority

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKtPd3D8WBB2RJFAiBz1qMpmL3kbo3IVqUB/bwmp0fGj"


@pytest.mark.parametrize("name", ["web1", "Web 1", "db-01.example.com", "_x", "a" * 128])
def test_names_of_resources(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", " a", "a ", "a+b", "a:b", "a#b", "a\n", "é", "a" * 129, "-a", "a\0"])
def test_names_that_no_resource_has(name: str) -> None:
    with pytest.raises(ResourceInvalid, match="name"):
        checked_name(name)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a+b", "found '+' as character 2"),
        ("a\n", "found U+000A as character 2"),
        ("-a", "found '-' as character 1"),
        (" a", "found a blank as character 1"),
        ("a ", "found a blank as character 2"),
        ("", "found 0 characters"),
    ],
)
def test_a_name_that_no_resource_has_is_told_what_does_not_fit_in_it(name: str, found: str) -> None:
    with pytest.raises(ResourceInvalid, match=re.escape(found) + "$"):
        checked_name(name)


@pytest.mark.parametrize("name", ["root", "CORP\\administrator", "a@b.example", "Jürgen", "SQL Agent"])
def test_names_of_accounts(name: str) -> None:
    assert checked_account_name(name) == name


@pytest.mark.parametrize("name", ["", " root", "ro+ot", "a:b", "a#b", "a\tb", "a\x1b[0m", "a\u202eb", "x" * 129])
def test_names_that_no_account_has(name: str) -> None:
    with pytest.raises(ResourceInvalid, match="name"):
        checked_account_name(name)


@pytest.mark.parametrize(
    ("given", "read"), [("10.0.0.1", "10.0.0.1"), ("[::1]", "::1"), (" web.example ", "web.example")]
)
def test_addresses(given: str, read: str) -> None:
    assert checked_address(given) == read


@pytest.mark.parametrize("given", ["", "a b", "web:22", "http://x", "-x", "a\0", "x" * 300])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(ResourceInvalid, match="address"):
        checked_address(given)


def test_kinds_have_usual_ports_and_usual_words() -> None:
    assert kind_of("Linux") is ResourceKind.SSH
    assert checked_port(None, ResourceKind.POSTGRESQL) == 5432
    with pytest.raises(ResourceInvalid, match="port"):
        checked_port(None, ResourceKind.OTHER)
    with pytest.raises(ResourceInvalid, match="kind"):
        kind_of("pigeon")


def test_tags_are_sorted_words() -> None:
    assert checked_tags(["Web", "env:prod", "web", " "]) == ("env:prod", "web")
    for wrong in (["a b"], ["x" * 65], [str(n) for n in range(33)]):
        with pytest.raises(ResourceInvalid, match="tags"):
            checked_tags(wrong)


def test_a_description_is_one_line() -> None:
    assert checked_description("Bücher 📚") == "Bücher 📚"
    for wrong in ("a\nb", "a\0", "\ud800", "x" * 501):
        with pytest.raises(ResourceInvalid, match="description"):
            checked_description(wrong)


def test_a_host_key_is_read_as_ssh_keyscan_prints_it() -> None:
    for text in (ED25519, f"web1.example {ED25519} comment", f"  {ED25519}\n"):
        key = read_host_key(text)
        assert (key.type, f"{key.type} {key.key}") == ("ssh-ed25519", ED25519)
        assert key.fingerprint.startswith("SHA256:")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!",
        ED25519.replace("ssh-ed25519", "ssh-rsa"),
        "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----",
        "x509 bm90aGluZw==",
        "x509",
    ],
)
def test_what_is_no_host_key(text: str) -> None:
    with pytest.raises(ResourceInvalid, match="key"):
        read_host_key(text)


def test_a_certificate_is_read_as_openssl_prints_it(tmp_path: Path) -> None:
    issued = Authority(tmp_path).certify("db1.example")
    pem = issued.pem().decode()
    whole = issued.certificate.public_bytes(Encoding.DER)
    chain = f"subject=CN = db1\r\n{pem}" + pem.replace("\n", "\r\n")
    for text in (pem, chain, f"x509 {base64.b64encode(whole).decode()}"):
        key = read_host_key(text)
        assert (key.type, base64.b64decode(key.key)) == ("x509", whole)
        shown = base64.b64decode(key.fingerprint.removeprefix("SHA256:") + "=")
        assert shown == issued.certificate.fingerprint(SHA256())
    with pytest.raises(ResourceInvalid, match="expected a certificate"):
        read_host_key(f"x509 {base64.b64encode(whole[:-1]).decode()}")
