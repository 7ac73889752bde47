"""HTTPS: served, renewed without cutting anybody off, and asked by the commands."""

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.over_tls import PING, Tls, put
from tests.support import prefork
from tests.support.authority import DAY, NOW, Authority
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

REQUEST = f"GET {PING} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the server tells nobody that it looked
            await asyncio.sleep(0.1)


async def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(tls: Tls) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = tls.trusting()
        context.minimum_version = context.maximum_version = version
        assert await tls.ping(context) == 200
    old = tls.trusting()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await tls.open(old)


async def test_whoever_speaks_plain_http_there_is_answered_in_plain_and_without_noise(
    tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", tls.server.port)
    writer.write(REQUEST)
    answer = await asyncio.wait_for(reader.readuntil(b"unencrypted.\n"), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"node" not in answer, "nothing of the application"
    assert await tls.ping(tls.trusting()) == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_renewed_certificate_is_shown_to_new_callers_and_cuts_nobody_off(tls: Tls, tmp_path: Path) -> None:
    reader, writer = await tls.open(tls.trusting())
    others = Authority(tmp_path, "other authority")
    put(others, tls.path)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await tls.ping(tls.trusting(others)) == 200
                break
            except httpx.ConnectError:
                await asyncio.sleep(0.1)
    with pytest.raises(httpx.ConnectError, match="unable to get local issuer"):
        await tls.ping(tls.trusting())
    writer.write(REQUEST)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_broken_renewal_is_told_and_the_old_certificate_stays(tls: Tls) -> None:
    assert tls.certificate.warnings() == ()
    tls.path.write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf a file")
    await until(lambda: bool(tls.certificate.warnings()))
    assert "cannot be used, the one of before stays in use: api.tlsCertPath" in tls.certificate.warnings()[0]
    assert await tls.ping(tls.trusting()) == 200
    put(tls.authority, tls.path, until=NOW + 5 * DAY)
    await until(lambda: not tls.certificate.problem)
    (ending,) = tls.certificate.warnings()
    assert "expires in 4 days" in ending


# ---- a real node -----------------------------------------------------------------------------------------------------


def rppam(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words)


def config_of(folder: Path, **api: Any) -> Path:
    config = folder / "rppam.config"
    tree = {
        "node": {"nodeName": "alone", "dataDir": str(folder)},
        "database": {"url": f"sqlite:///{folder / 'rppam.db'}"},
        "auth": {"jwtKeysDir": str(folder / "jwt")},
        "api": {"port": free_port(), "drainSeconds": 1, **api},
    }
    config.write_text(json.dumps(tree))
    config.chmod(0o600)
    return config


@pytest.mark.pair
def test_a_node_serves_https_from_a_pfx_and_the_commands_ask_it_there(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pfx = authority.pfx("localhost", password="p, ss", file="api.pfx", until=NOW + 9.5 * DAY)
    config = config_of(tmp_path, tlsCertPath=str(pfx), tlsCertPassword="p, ss")
    port = json.loads(config.read_text())["api"]["port"]
    node = subprocess.Popen([sys.executable, "-m", "rppam", "node", "--config", str(config)], stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 40
        while (asked := rppam("status", "--config", str(config), "--json")).returncode != 0:
            assert time.monotonic() < until, asked.stdout + asked.stderr
            time.sleep(0.2)
        health = json.loads(asked.stdout)
        assert (health["leaderNode"], health["nodes"][0]["url"]) == ("alone", f"https://127.0.0.1:{port}")
        assert [line for line in health["warnings"] if "the API's certificate" in line and "expires in 9 days" in line]

        (tmp_path / "token").write_text(rppam("token", "--config", str(config)).stdout)
        far = ("status", "--json", "--token-file", str(tmp_path / "token"), "--url")
        named = f"https://localhost:{port}"
        assert json.loads(rppam(*far, named, "--ca", str(authority.path)).stdout)["leaderNode"] == "alone"
        unbelieved = json.loads(rppam(*far, named).stdout)["error"]
        assert "its certificate is not believed (unable to get local issuer certificate)" in unbelieved
        misnamed = json.loads(rppam(*far, f"https://127.0.0.1:{port}", "--ca", str(authority.path)).stdout)["error"]
        assert "its certificate is not believed (IP address mismatch" in misnamed

        doctor = json.loads(rppam("doctor", "--config", str(config), "--json").stdout)
        codes = {finding["code"] for finding in doctor["findings"]}
        assert "RD-613" in codes, "it expires soon"
        assert not codes & {"RD-608", "RD-615", "RD-701", "RD-704"}, doctor
        node.terminate()
        assert node.wait(15) == 0
    finally:
        node.kill()
        node.communicate()


def test_a_certificate_that_cannot_be_used_keeps_the_node_from_starting_and_is_told_by_the_doctor(
    tmp_path: Path,
) -> None:
    pfx = Authority(tmp_path).pfx("localhost", password="right")
    config = config_of(tmp_path, tlsCertPath=str(pfx), tlsCertPassword="wrong")
    ended = rppam("node", "--config", str(config))
    assert ended.returncode == 78
    assert "api.tlsCertPassword: expected the password of the file that api.tlsCertPath names" in ended.stderr
    doctor = json.loads(rppam("doctor", "--config", str(config), "--json").stdout)
    assert [finding["code"] for finding in doctor["findings"] if finding["severity"] == "error"] == ["RD-612"]


def test_plain_http_on_an_open_address_is_a_warning_unless_a_balancer_ends_tls(tmp_path: Path) -> None:
    def findings(**node: str) -> set[str]:
        config = config_of(tmp_path, host="0.0.0.0")
        tree = json.loads(config.read_text())
        tree["node"] |= node
        config.write_text(json.dumps(tree))
        told = json.loads(rppam("doctor", "--config", str(config), "--json").stdout)
        return {finding["code"] for finding in told["findings"]}

    assert "RD-615" in findings()
    assert "RD-615" in findings(advertiseUrl="http://node1.example.com:7101")
    assert "RD-615" not in findings(advertiseUrl="https://pam.example.com")
