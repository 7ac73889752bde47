"""What the demo gives people to paste."""

import subprocess
from pathlib import Path

import pytest

from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, Tokens
from rppam.demo.children import Child
from rppam.demo.files import DemoFiles, _TokenSource
from rppam.demo.redis_server import RedisServer
from rppam.demo.screen import Ready, RunningNode
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy


async def test_lines_to_paste_set_the_token_without_showing_it_and_what_commands_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()
    keys = KeySet(ensure_signing_keys(tmp_path / "jwt", now_ms=clock.wall_ms()))
    tokens = Tokens(keys, issuer="rppam", audience="rppam-api", node="node1", clock=clock, entropy=SystemEntropy())
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    token = _TokenSource(tokens, folder / "admin.header")()
    files = DemoFiles(
        {}, (), "admin", Secret("p"), {"node1": 7102}, folder / "admin.header", folder / "rppam.db", lambda: token
    )
    with subprocess.Popen(["true"]) as process:  # noqa: ASYNC220  # nothing else runs in this loop
        redis = RedisServer(Child("Redis", process, tmp_path / "redis.log"), 6379, Secret("r"), Secret("n"))
    nodes = (RunningNode("node1", "http://127.0.0.1:7101", 2, 3, (4,)),)
    ready = Ready(nodes, "node1", 1, files, redis, "root", str(folder), 1)
    lines = ready.guide()
    assert token.reveal() not in "\n".join(lines)
    addresses = [line.split() for line in lines if "://" in line]
    assert addresses[0] == ["console", "http://127.0.0.1:7101/console/"], "the first thing to open"
    assert any("no second factor: this is a demo; a new cluster asks for one" in line for line in lines)
    assert any(str(folder / "rppam.db") in line for line in lines), "what to damage, and to put back"
    (line,) = (line.strip() for line in lines if "ADMIN_JWT=" in line)
    pasted = subprocess.run(  # noqa: ASYNC221  # nothing else runs in this loop
        ["sh", "-c", line + '; printf %s "$ADMIN_JWT"'], capture_output=True, text=True, check=True
    )
    assert pasted.stdout == token.reveal()

    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    monkeypatch.setenv("PATH", bare["PATH"])
    (line,) = (line.strip() for line in ready.guide() if "RPPAM_CONFIG=" in line)
    shell = ["sh", "-c", line + '; command -v rppam >/dev/null && printf %s "$RPPAM_CONFIG"']
    pasted = subprocess.run(shell, capture_output=True, text=True, check=True, env=bare)  # noqa: ASYNC221  # as above
    assert pasted.stdout == str(folder / "node1" / "rppam.config")
