"""The demo's SSH target where no sshd is installed: a shell for the account that runs the demo, by its key alone.

``python -m rppam.demo.ssh_server FOLDER HOST PORT``. Loopback only; it knows shells, commands and file transfer.
"""

import asyncio
import fcntl
import os
import pty
import pwd
import struct
import sys
import termios
from pathlib import Path

import asyncssh

assert sys.platform != "win32"  # the demo does not run there

KEX = ["curve25519-sha256", "ecdh-sha2-nistp256"]


async def _serve(folder: Path, host: str, port: int) -> None:
    await asyncssh.listen(
        host,
        port,
        server_host_keys=[str(folder / "host")],
        authorized_client_keys=str(folder / "authorized_keys"),
        process_factory=_session,
        sftp_factory=True,
        allow_scp=True,
        line_editor=False,
        encoding=None,
        kex_algs=KEX,
    )
    await asyncio.Event().wait()


async def _session(process: asyncssh.SSHServerProcess[bytes]) -> None:
    shell = pwd.getpwuid(os.getuid()).pw_shell or "/bin/sh"
    argv = [shell] if process.command is None else [shell, "-c", process.command]
    if process.term_type is None:
        child = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await process.redirect(child.stdin, child.stdout, child.stderr)
        code = await child.wait()
        await process.stdout.drain()
        process.exit(code & 0xFF)
        return
    ours, theirs = pty.openpty()
    columns, rows = process.term_size[:2]
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = await asyncio.create_subprocess_exec(
        *argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": process.term_type},
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    await process.redirect(stdin=os.dup(ours), stdout=ours)
    process.exit(await child.wait() & 0xFF)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
