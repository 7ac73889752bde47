"""Accounts of Unix systems, by SSH: ``chpasswd`` by root or through ``sudo -n``, ``passwd`` for one's own.

The new secret goes through stdin or a terminal, never through arguments. Each change and each log-in is a connection of
its own, through what lies on the way to the target; a host key that is not the pinned one is refused as everywhere.
"""

import asyncio
import re
from typing import Final

import asyncssh

from rppam.gateway.errors import CredentialRefused, GatewayError
from rppam.gateway.ssh.target import Reached
from rppam.rotation.requests import Answer, Request
from rppam.rotation.way import NoWayError, Way, in_time, reached, shown

BY_ROOT: Final = (
    "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; export PATH; "
    'if [ "$(id -u)" = 0 ]; then chpasswd; else sudo -n chpasswd; fi'
)
OWN: Final = "LC_ALL=C; export LC_ALL; passwd"
_PROMPT: Final = re.compile(r"[^\r\n]*: ?\Z")
_CHARS_MAX: Final = 20_000


async def answer(request: Request) -> Answer:
    """Try a log-in, or change a password."""
    async with Way(request) as way:
        came = await _answer(request, way)
    return came._replace(hop_keys=way.keys)


async def _answer(request: Request, way: Way) -> Answer:
    try:
        async with in_time(request):
            found = await reached(request, request.sources, await way.end())
    except CredentialRefused as error:
        # For a change this says that nothing was changed.
        return Answer("refused", str(error))
    except (GatewayError, NoWayError) as error:
        return request.unasked(str(error))
    try:
        return await _change(request, found) if request.new is not None else Answer("works", "", shown(found))
    finally:
        found.connection.close()


async def _change(request: Request, found: Reached) -> Answer:
    connection = found.connection
    if request.login.username == request.account:
        who = await connection.run("id -u", check=False)
        if _text(who.stdout).strip() != "0":
            return await _own(request, connection)
    assert request.new is not None  # a change has it
    line = f"{request.account}:{request.new.reveal()}\n"
    done = await connection.run(BY_ROOT, input=line, check=False)
    if done.exit_status == 0:
        return Answer("done", "", shown(found))
    heard = f"{_text(done.stderr)} {_text(done.stdout)}".strip()
    said = heard or f"chpasswd ended with {done.exit_status}"
    return Answer("unknown" if done.exit_status is None else "refused", said)


def _text(heard: object) -> str:
    return heard.decode(errors="replace") if isinstance(heard, bytes) else str(heard or "")


async def _own(request: Request, connection: asyncssh.SSHClientConnection) -> Answer:
    """``passwd`` asks on a terminal; what it asks decides what it gets."""
    assert request.new is not None
    assert request.login.password is not None
    old, new = request.login.password.reveal(), request.new.reveal()
    process = await connection.create_process(OWN, term_type="dumb", term_size=(200, 24))
    heard = told = ""
    answered = 0
    while len(told) < _CHARS_MAX:
        more = await process.stdout.read(1_000)
        if not more:
            break
        heard += str(more)
        told += str(more)
        asked = _PROMPT.search(heard)
        if asked is None:
            continue
        question, heard = asked[0].lower(), ""
        if "retype" in question or "again" in question or "re-enter" in question or "confirm" in question:
            process.stdin.write(new + "\n")
            answered = 2
        elif "new" in question:
            if answered:  # it did not take the one that it got
                break
            process.stdin.write(new + "\n")
            answered = 1
        elif "password" in question:
            process.stdin.write(old + "\n")
    if process.exit_status is None and answered != 2:
        process.close()
        return Answer("refused", told)
    async with asyncio.timeout(5):
        done = await process.wait(check=False)
    if done.exit_status == 0:
        return Answer("done")
    return Answer("unknown" if done.exit_status is None else "refused", told)
