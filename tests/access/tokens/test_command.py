"""``rppam token`` as a script calls it, and the article's one-liner against a served node."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import jwt
import pytest
import uvloop

from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.cluster.consensus.heartbeat import Role
from rppam.http.bounds import ApiLimits
from rppam.kernel.instant import WallMs
from tests.support.ports import free_port
from tests.support.served import Served, member

pytestmark = pytest.mark.integration

NOON = WallMs(1_772_366_400_000)


async def run(*words: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rppam",
        "token",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rppam.config"
    settings = {
        "node": {"nodeName": "node1", "dataDir": str(tmp_path / "data")},
        "auth": {"jwtKeysDir": str(tmp_path / "keys"), "tokenMinutes": 7},
    }
    path.write_text(json.dumps(settings))
    path.chmod(0o600)
    return path


async def test_the_articles_one_liner_prints_true(served: Served, config: Path) -> None:
    """The served node and the command share the keys' directory, as on a real host."""
    code, out, err = await run("--config", str(config))
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    token = out.strip()
    assert token.count(".") == 2
    command = f'curl -s -H "Authorization: Bearer {token}" {served.url}/system/health/cluster | jq .redisConnected'
    if shutil.which("curl") and shutil.which("jq"):
        shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        assert (await shell.communicate())[0] == b"true\n"
    headers = {"Authorization": f"Bearer {token}"}
    status = await served.http.get("/api/v1/admin/cluster/status", headers=headers)
    assert status.json()["redisConnected"] is True


async def test_the_options_say_who_and_how_long(config: Path, tmp_path: Path) -> None:
    ensure_signing_keys(tmp_path / "keys", now_ms=NOON)
    for words, name, minutes in (
        (("--user", "Backup", "--minutes", "3"), "backup", 3),
        ((), "admin", 7),
    ):
        code, out, _ = await run("--json", *words, RPPAM_CONFIG=str(config))
        assert code == 0
        shown = json.loads(out)
        claims = jwt.decode(shown["accessToken"], options={"verify_signature": False})
        assert (claims["sub"], claims["roles"], claims["exp"] - claims["iat"]) == (name, ["pam_admin"], minutes * 60)
        assert (shown["tokenType"], shown["user"], shown["node"]) == ("Bearer", name, "node1")


async def test_wrong_use_ends_with_the_documented_codes_and_nothing_on_stdout(config: Path, tmp_path: Path) -> None:
    code, out, err = await run("--config", str(config))
    assert (code, out) == (78, ""), "no key is made in passing: other nodes would not know it"
    assert "rppam init" in err
    assert not (tmp_path / "keys").exists()
    ensure_signing_keys(tmp_path / "keys", now_ms=NOON)
    for words, expected in (
        (("--config", str(tmp_path / "none")), 78),
        (("--config", str(config), "--minutes", "0"), 2),
        (("--config", str(config), "--minutes", "1441"), 2),
        (("--config", str(config), "--user", "аdmin"), 2),
        (("--config", str(config), "surplus"), 2),
    ):
        code, out, err = await run(*words)
        assert (code, out) == (expected, ""), words
        assert err
        assert "Traceback" not in err


async def test_a_token_is_revoked_for_every_node_and_by_whoever_holds_it(
    served: Served, config: Path, tmp_path: Path
) -> None:
    ours = {"RPPAM_CONFIG": str(config), "RPPAM_URL": served.url}
    shown = json.loads((await run("--json", **ours))[1])
    held = {"Authorization": f"Bearer {shown['accessToken']}"}
    path = f"/api/v1/sessions/{shown['sessionId']}"
    assert (await served.http.get(path, headers=held)).json()["kind"] == "host"
    file = tmp_path / "stolen"
    file.write_text(f"Authorization: Bearer {shown['accessToken']}\n")
    code, out, err = await run("revoke", "--token-file", str(file), **ours)
    assert (code, err) == (0, "")
    assert "every node" in out
    assert (await served.http.get(path, headers=held)).status_code == 401
    code, out, err = await run("revoke", "--token-file", str(file), **ours)
    assert (code, out) == (0, "nothing to do: its session is over already\n")
    another = json.loads((await run("--json", **ours))[1])
    held = {"Authorization": f"Bearer {another['accessToken']}"}
    assert (await served.http.get("/api/v1/sessions", headers=held)).status_code == 200
    assert (await run("revoke", "--id", another["sessionId"], **ours))[0] == 0
    assert (await served.http.get("/api/v1/sessions", headers=held)).status_code == 401
    file.write_text("a.b.c")
    for words, expected, said in (
        (("--token-file", str(file)), 1, "not revoked"),
        (("--id", another["sessionId"]), 1, "no live session"),
        (("--id", "../x"), 2, "sessions ls"),
        (("--token-file", str(file), "--url", "http://127.0.0.1:1"), 2, "connection refused"),
    ):
        code, out, err = await run("revoke", *words, **ours)
        assert (code, out) == (expected, ""), words
        assert said in err


async def test_which_node_misses_a_key_is_not_said_by_a_node_that_refuses_to_tell(
    served: Served, config: Path, tmp_path: Path
) -> None:
    """A node that does not know this host's key answers 401: that is no list of nodes that have them all."""
    own = member("node1", Role.LEADER, api_url=served.url, is_at_url=True)
    gone = member("node2", Role.STANDBY, api_url=f"http://127.0.0.1:{free_port()}", is_at_url=True)
    strange = member("node3", Role.STANDBY, api_url=served.url + "/elsewhere", is_at_url=True)
    listing = ("keys", "list", "--nodes", "--url", served.url, "--config", str(config))
    served.node.set(members=(own,))
    assert (await run(*listing))[:1] == (0,)
    served.node.set(members=(own, gone, strange))
    code, out, _ = await run(*listing, "--json")
    told = json.loads(out)
    assert (code, told["missing"], set(told["unasked"])) == (2, {}, {"node2", "node3"})
    assert "HTTP status 401" in told["unasked"]["node3"]
    (tmp_path / "other").mkdir(mode=0o700)
    ensure_signing_keys(tmp_path / "other", now_ms=NOON)
    use_keys(config, tmp_path / "other")
    code, out, err = await run(*listing)
    assert code == 2
    assert "does not know the key" in err
    assert "every node" not in out


def use_keys(config: Path, directory: Path) -> None:
    settings = json.loads(config.read_text()) | {"auth": {"jwtKeysDir": str(directory)}}
    config.write_text(json.dumps(settings))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
def test_root_makes_keys_that_the_account_of_the_node_can_read(config: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    ensure_signing_keys(keys, now_ms=NOON)
    (first,) = keys.iterdir()
    for path in (keys, first):
        os.chown(path, 65_534, 65_534)
    code, out, err = asyncio.run(run("keys", "rotate", "--in-hours", "0", "--config", str(config), "--json"))
    assert code == 0, err
    made = Path(json.loads(out)["file"])
    assert (made.stat().st_uid, made.stat().st_gid, made.stat().st_mode & 0o777) == (65_534, 65_534, 0o600)
    os.chown(made, 0, 0)  # as an earlier release left it
    code, _, err = asyncio.run(run("keys", "retire", first.name, "--force", "--config", str(config)))
    assert code == 0, err
    assert made.stat().st_uid == 65_534, "what is left has to go on"
    assert (asyncio.run(run("--config", str(config))))[0] == 0


async def test_a_token_that_is_typed_is_never_printed(config: Path) -> None:
    token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    for words in ((token,), ("--token-file", token), ("--id", token), (token, "--id", "a-1"), (token, token)):
        code, out, err = await run("revoke", *words, RPPAM_CONFIG=str(config))
        assert (code, out) == (2, ""), words
        assert "eyJ" not in err
        assert "--token-file" in err or "--id" in err


def test_the_server_runs_on_uvloop_too(tmp_path: Path) -> None:
    async def scene() -> None:
        one = Served(tmp_path / "keys", ApiLimits(header_timeout_ms=200))
        await one.start()
        assert (await one.http.get("/system/health/leader")).status_code == 200
        assert (await one.raw(b"GARBAGE\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert await one.raw(b"GET / HT") == b""
        one.note.silent.clear()
        slow = asyncio.create_task(one.http.get("/api/v1/admin/cluster/note", headers=one.bearer()))
        await asyncio.sleep(0.1)
        await one.server.stop(drain_ms=100)
        assert (await slow).status_code == 503
        await one.http.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())


@pytest.mark.parametrize(("hours", "says"), [("0", "(mode 0600) now: until then"), ("24", "(mode 0600) before 20")])
def test_a_key_that_signs_at_once_is_not_to_be_copied_before_that(
    config: Path, tmp_path: Path, hours: str, says: str
) -> None:
    ensure_signing_keys(tmp_path / "keys", now_ms=NOON)
    code, out, err = asyncio.run(run("keys", "rotate", "--in-hours", hours, "--config", str(config)))
    assert (code, says in out) == (0, True), (out, err)
