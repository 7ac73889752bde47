"""Accounts of Unix systems, by SSH: ``chpasswd`` by root or through ``sudo -n``, ``passwd`` for one's own.

The new secret goes through stdin or a terminal, never through arguments. Each change and each log-in is a connection of
its own, through what lies on the way to the target; a host key that is not the pinned one is refused as everywhere.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

import asyncssh

from rppam.gateway.errors import CredentialRefused, GatewayError
from rppam.gateway.model import PinnedKey
from rppam.gateway.ports import Credential, Route
from rppam.gateway.ssh.algorithms import quiet
from rppam.gateway.ssh.target import ALL_S, Reached, Through, reach
from rppam.gateway.ways import in_words
from rppam.rotation.requests import Answer, Hop, Request

BY_ROOT: Final = (
    "LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin; export PATH; "
    'if [ "$(id -u)" = 0 ]; then chpasswd; else sudo -n chpasswd; fi'
)
OWN: Final = "LC_ALL=C; export LC_ALL; passwd"
_PROMPT: Final = re.compile(r"[^\r\n]*: ?\Z")
_CHARS_MAX: Final = 20_000


async def answer(request: Request) -> Answer:
    """Try a log-in, or change a password."""
    quiet()
    hop_keys: list[Sequence[str]] = []
    connections: list[asyncssh.SSHClientConnection] = []
    try:
        came = await _answer(request, hop_keys, connections)
    finally:
        for one in reversed(connections):
            one.close()
    return came._replace(hop_keys=tuple(hop_keys))


async def _answer(
    request: Request, hop_keys: list[Sequence[str]], connections: list[asyncssh.SSHClientConnection]
) -> Answer:
    # While the account itself has not been asked, a change has changed nothing, and a try tells nothing.
    unasked = "refused" if request.new is not None else "unknown"
    through: Through | None = None
    try:
        async with asyncio.timeout(ALL_S if request.hops else None):
            for hop in request.hops:
                try:
                    found = await _reached(hop, request.sources, through)
                except GatewayError as error:  # nor has it where a host on the way refuses what we have for that
                    return Answer(unasked, f"on the way to {request.target}: {error}")
                connections.append(found.connection)
                hop_keys.append(_shown(found))
                through = Through(found.connection, hop.target)
            reached = await _reached(request, request.sources, through)
    except CredentialRefused as error:
        # For a change this says that nothing was changed.
        return Answer("refused", str(error))
    except GatewayError as error:
        return Answer(unasked, str(error))
    except TimeoutError:
        names = in_words([hop.target for hop in request.hops])
        return Answer(unasked, f"{request.place} was not reached within {ALL_S:g} s through {names}")
    connections.append(reached.connection)
    return await _change(request, reached) if request.new is not None else Answer("works", "", _shown(reached))


async def _reached(to: Request | Hop, sources: Sequence[str], through: Through | None) -> Reached:
    login = to.login
    route = Route("", to.target, to.host, to.port, "", login.username, login.username, trust=to.trust, legacy=to.legacy)
    credential = Credential(login.password, login.private_key, login.passphrase)
    return await reach(route, credential, [PinnedKey(*pin) for pin in to.pins], sources, through)


def _shown(reached: Reached) -> tuple[str, ...]:
    key = reached.new_key
    return () if key is None else (key.algorithm, key.public, key.fingerprint)


async def _change(request: Request, reached: Reached) -> Answer:
    connection = reached.connection
    if request.login.username == request.account:
        who = await connection.run("id -u", check=False)
        if _text(who.stdout).strip() != "0":
            return await _own(request, connection)
    assert request.new is not None  # a change has it
    line = f"{request.account}:{request.new.reveal()}\n"
    done = await connection.run(BY_ROOT, input=line, check=False)
    if done.exit_status == 0:
        return Answer("done", "", _shown(reached))
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
