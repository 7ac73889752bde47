"""The container of Redis, where there is a docker command: does it run, and if not, what does its log say?

At most two seconds, whatever docker does, and then no process of it is left. Nothing is started or changed. Log lines
are quoted without what follows words that announce a password: Redis quotes config lines that it does not understand.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
from typing import Final

from rppam.catalogue.table import finding
from rppam.doctor.report import Report, without_passwords
from rppam.kernel.finding import Finding

CONTAINER: Final = "rppam-redis"
DOCKER_S: Final = 2.0
KILLED_S: Final = 1.0
"""For a killed process to be gone; only one that hangs in the kernel is not."""
TAIL: Final = 50
SHOWN: Final = 6
_ABSENT: Final = re.compile("no such (object|container)", re.IGNORECASE)
_BAD_PORT: Final = ("port is already allocated", "address already in use", "bind: address", "Address in use")
_BAD_WORDS: Final = (
    "FATAL CONFIG FILE ERROR",
    "Bad directive",
    "Can't open config file",
    "can't open config file",
    "wrong number of arguments",
    "Invalid argument",
    "executable file not found",
    "Unrecognized",
    "unknown option",
    "Failed to configure TLS",
    "aborting now",
)


async def check_container(report: Report) -> bool:
    """Look at the container. Return whether there is a docker command at all."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        async with asyncio.timeout(DOCKER_S):
            report.add(*await _look(docker))
    except TimeoutError:
        report.add(finding("RD-804", f"no answer within {DOCKER_S:g} s"))
    return True


async def _look(docker: str) -> list[Finding]:
    form = "{{.State.Status}}|{{.State.ExitCode}}|{{.State.Error}}"
    exit_code, state = await _run(docker, "inspect", "--format", form, CONTAINER)
    if exit_code and _ABSENT.search(state):
        return []
    if exit_code:  # no daemon, or this account may not ask it: nothing is known of the container
        return [finding("RD-804", without_passwords(state.strip().splitlines()[:1]) or f"exit code {exit_code}")]
    logs_code, logs = await _run(docker, "logs", "--tail", str(TAIL), CONTAINER)
    found = judge(state, "" if logs_code else logs)
    return [] if found is None else [found]


def judge(state: str, logs: str) -> Finding | None:
    """What the state (``status|exit code|error``) and the log of the container mean."""
    status, exit_code, error = (*state.strip().split("|", 2), "", "")[:3]
    if status == "running":
        return None
    lines = [line for line in (*logs.splitlines(), error) if line.strip()]
    telling = [line for line in lines if any(word in line for word in (*_BAD_PORT, *_BAD_WORDS))]
    begin = max(0, lines.index(telling[0]) - 1) if telling else max(0, len(lines) - SHOWN)
    shown = without_passwords(lines[begin : begin + SHOWN])
    evidence = f"{CONTAINER} is {status} (exit code {exit_code}); docker logs: {shown or 'nothing'}"
    if any(word in line for line in telling for word in _BAD_PORT):
        return finding("RD-802", evidence)
    return finding("RD-801" if telling else "RD-803", evidence)


async def _run(*words: str) -> tuple[int, str]:
    """The exit code of a command, and what it prints on both its outputs.

    On cancellation it is ended with all that it started. Its output goes to an unnamed file: a pipe would stay open as
    long as any of those processes has it.
    """
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            exit_code = await process.wait()
        except BaseException:
            _kill(process)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KILLED_S)  # else its end would be reported to a closed loop
            raise
        output.seek(0)
        return exit_code, output.read().decode("utf-8", "replace")


def _kill(process: asyncio.subprocess.Process) -> None:
    """End it and its process group."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
