"""``rppam license`` as administrators call it."""

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from rppam.licence.service import parse_public_key
from tests.support import prefork

pytestmark = pytest.mark.integration


def rppam(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return prefork.run("license", *words)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("issuer")
    made = rppam("new-key", "--out", home / "issuer.pem", "--json")
    assert made.returncode == 0, made.stderr
    return {"home": home, "pem": home / "issuer.pem", **json.loads(made.stdout)}


def issue(issuer: dict[str, Any], out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    words = ("--tier", "enterprise", "--max-nodes", "10", "--days", "365", "--customer", "ACME")
    return rppam("issue", "--key", issuer["pem"], *words, "--out", out, "--json", *more)


def test_the_private_key_is_for_its_owner_and_never_printed(issuer: dict[str, Any]) -> None:
    assert stat.S_IMODE(issuer["pem"].stat().st_mode) == 0o600
    private = issuer["pem"].read_text()
    assert private.startswith("-----BEGIN PRIVATE KEY-----")
    again = rppam("new-key", "--out", issuer["pem"])
    assert again.returncode == 2
    assert "exists" in again.stderr
    assert issuer["pem"].read_text() == private
    beside = issuer["home"] / "issuer.pub.pem"
    assert parse_public_key(beside.read_text(), "it").text() == issuer["publicKey"]
    assert (stat.S_IMODE(beside.stat().st_mode), str(beside)) == (0o644, issuer["publicKeyFile"])
    people = rppam("new-key", "--out", issuer["home"] / "second.pem")
    assert people.stdout.startswith("MCowBQYDK2VwAyEA"), "stdout is the public key alone, to be piped"
    body = (issuer["home"] / "second.pem").read_text().splitlines()[1]
    assert body not in people.stdout + people.stderr


def test_issue_show_verify(issuer: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "license.jwt"
    made = issue(issuer, file, "--feature", "ai")
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout)
    assert (said["tier"], said["maxNodes"], said["daysLeft"], said["state"]) == ("enterprise", 10, 365, "valid")
    assert said["features"] == ["ai"]
    shown = rppam("show", file, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout) == {**said, "signature": "not checked"}
    good = rppam("verify", file, "--trusted", issuer["publicKey"], "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["valid"] is True
    people = rppam("verify", file, "--trusted", issuer["publicKey"])
    assert "signature good" in people.stdout


def test_verify_answers_77_with_the_reason(issuer: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "license.jwt"
    assert issue(issuer, file).returncode == 0
    changed = tmp_path / "changed.jwt"
    head, body, signature = file.read_text().strip().split(".")
    changed.write_text(f"{head}.{body[:-2]}AA.{signature}")
    other = rppam("new-key", "--out", tmp_path / "other.pem").stdout.strip()
    for words, code in (
        ((changed, "--trusted", issuer["publicKey"]), "RPPAM-4006"),
        ((file, "--trusted", other), "RPPAM-4005"),
        ((tmp_path / "nowhere", "--trusted", other), "RPPAM-4001"),
        ((tmp_path, "--trusted", other), "RPPAM-4002"),
        ((tmp_path / "other.pem", "--trusted", other), "RPPAM-4003"),
    ):
        told = rppam("verify", *words, "--json")
        assert told.returncode == 77, told
        assert (json.loads(told.stdout)["valid"], json.loads(told.stdout)["code"]) == (False, code)
        people = rppam("verify", *words)
        assert people.returncode == 77
        assert re.match(rf"rppam license verify: RPPAM-\d+: {re.escape(str(words[0]))}: ", people.stderr)
        assert json.loads(told.stdout)["reason"] in people.stderr
        assert people.stdout == ""
    no_file = rppam("verify", file, "--trusted", "nope")
    assert no_file.returncode == 78
    assert "--trusted nope: there is no such file, and the word is no Ed25519 public key" in no_file.stderr
    damaged = issuer["publicKey"][:-4] + "####"
    assert damaged[:20] not in rppam("verify", file, "--trusted", damaged).stderr, "it may be a private one"
    assert rppam("verify", file).returncode == 2, "nobody is trusted by default"
    assert rppam("verify", file, "--trusted", tmp_path / "other.pem").returncode == 78, (
        "a private key is no trusted key"
    )


def test_terms_that_cannot_stand(issuer: dict[str, Any], tmp_path: Path) -> None:
    for words, told in (
        (("--tier", "standard"), "max-nodes: Standard runs 1 node, found 10"),
        (("--max-nodes", "0"), "--max-nodes"),
        (("--days", "-1"), "--days"),
        (("--tier", "gold"), "gold"),
        (("--key", str(tmp_path / "no.pem")), "no such file"),
    ):
        refused = issue(issuer, tmp_path / "never.jwt", *words)
        assert refused.returncode in {2, 77}, refused
        assert told in refused.stderr
        assert not (tmp_path / "never.jwt").exists()


def test_show_reads_file_and_keys_from_the_config(issuer: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "license.jwt"
    assert issue(issuer, file, "--days", "10").returncode == 0
    config = tmp_path / "rppam.config"
    config.write_text(
        json.dumps(
            {"node": {"dataDir": str(tmp_path)}, "license": {"path": str(file), "trustedKeys": [issuer["publicKey"]]}}
        )
    )
    config.chmod(0o600)
    shown = rppam("show", "--config", config)
    assert shown.returncode == 0, shown.stderr
    assert "signature good" in shown.stdout
    assert "expires in 10 days" in shown.stderr
    assert rppam("verify", file, "--config", config).returncode == 0
    settings = json.loads(config.read_text())
    settings["license"]["trustedKeys"] = []
    config.write_text(json.dumps(settings))
    nobody = rppam("verify", file, "--config", config)
    assert (nobody.returncode, nobody.stdout) == (77, ""), "a config that trusts nobody makes no licence good"


OTHER_KIND = (
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VxBCIEIN0PGW8w/MG7T8WVhB/mf1mECpPeG/cwOk/awyojG3gF\n"
    "-----END PRIVATE KEY-----\n"
)
"""A key of Ed25519 whose algorithm was changed to Ed448 by one bit, which the library takes for an error of its own."""


def damaged(whole: bytes) -> dict[str, bytes]:
    return {
        "an empty file": b"",
        "PEM that is cut off": whole[:60],
        "characters that are no PEM": bytes(range(256)) * 2,
        "PEM that is damaged": OTHER_KIND.encode(),
        "14 characters that are no PEM": b'{"json": true}',
        "another kind of key": rsa.generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ),
        "the key is encrypted": rsa.generate_private_key(65537, 2048).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        ),
    }


def test_a_damaged_key_is_a_sentence_with_file_found_and_fix(issuer: dict[str, Any], tmp_path: Path) -> None:
    key = tmp_path / "damaged.pem"
    for told, data in damaged(Path(issuer["privateKeyFile"]).read_bytes()).items():
        key.write_bytes(data)
        done = rppam("issue", "--key", key, "--tier", "standard", "--customer", "x", "--out", "-")
        assert done.returncode not in {0, 1}, told
        assert "Traceback" not in done.stderr, told
        assert str(key) in done.stderr
        assert told in done.stderr
    for path in (tmp_path, tmp_path / "nothing"):
        done = rppam("issue", "--key", path, "--tier", "standard", "--customer", "x", "--out", "-")
        assert (done.returncode != 0, "Traceback" in done.stderr, str(path) in done.stderr) == (True, False, True)


@pytest.mark.parametrize("command", ["show", "verify", "trusted"])
def test_no_file_that_is_read_ends_in_a_traceback(issuer: dict[str, Any], tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    for data in damaged(Path(issuer["privateKeyFile"]).read_bytes()).values():
        file.write_bytes(data.replace(b"PRIVATE", b"PUBLIC") if command == "trusted" else data)
        words = {"show": ("show", file), "verify": ("verify", file, "--trusted", issuer["publicKey"])}
        done = rppam(*words.get(command, ("verify", file, "--trusted", file)))
        assert done.returncode not in {0, 1}
        assert "Traceback" not in done.stderr
