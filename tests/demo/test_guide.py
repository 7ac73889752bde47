"""What the demo gives people to paste."""

import subprocess
from pathlib import Path

from rppam.access.tokens.key_files import ensure_signing_keys
from rppam.access.tokens.service import KeySet, Tokens
from rppam.demo.board import Processes, Ready, RunningNode
from rppam.demo.files import _TokenSource
from rppam.demo.screen import guide
from rppam.kernel.secret import Secret
from rppam.kernel.system_clock import SystemClock
from rppam.kernel.system_entropy import SystemEntropy


async def test_a_line_to_paste_sets_the_token_without_showing_it(tmp_path: Path) -> None:
    clock = SystemClock()
    keys = KeySet(ensure_signing_keys(tmp_path / "jwt", now_ms=clock.wall_ms()))
    tokens = Tokens(keys, issuer="rppam", audience="rppam-api", node="node1", clock=clock, entropy=SystemEntropy())
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    token = _TokenSource(tokens, folder / "admin.header")()
    ready = Ready(
        nodes=(RunningNode("node1", "http://127.0.0.1:7101", 2),),
        processes={"node1": Processes(3, (4,))},
        leader="node1",
        epoch=1,
        admin_user="admin",
        admin_password=Secret("p"),
        admin_token=token,
        header_file=str(folder / "admin.header"),
        redis_host="127.0.0.1",
        redis_port=6379,
        redis_password=Secret("r"),
        redis_pid=5,
        directory=str(tmp_path),
        started_in_ms=1,
    )
    lines = guide(ready)
    assert token.reveal() not in "\n".join(lines)
    (line,) = (line.strip() for line in lines if "ADMIN_JWT=" in line)
    pasted = subprocess.run(  # noqa: ASYNC221  # nothing else runs in this loop
        ["sh", "-c", line + '; printf %s "$ADMIN_JWT"'], capture_output=True, text=True, check=True
    )
    assert pasted.stdout == token.reveal()
