"""Logging in with a certificate or a key: judged, and where it is refused the user reads why.

Only a certificate of a trusted authority, or a key that a user has, leaves something in the ledger: anybody can make
others. Whether there is such a user is told by nothing here.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Final

import asyncssh

from rppam.access.accounts.errors import NameInvalid
from rppam.access.accounts.model import Account, normalise_name
from rppam.gateway.certificates import fingerprint_of, unnamed
from rppam.gateway.errors import CertificateInvalid, CertificateRefused
from rppam.gateway.names import Wanted
from rppam.gateway.ssh.channel import one_line
from rppam.gateway.ssh.gate import Gate
from rppam.kernel.actor import Actor, ActorKind
from rppam.ledger.model import Entity, Word

log: Final = logging.getLogger("rppam.gateway")
HOW: Final = "certificate"
_KEY: Final = "key"
_OF_CERTIFICATES: Final = "-cert-v01@openssh.com"
"""What their types end with."""
_REVOKED: Final = "it is revoked"


async def certified(
    gate: Gate, conn: asyncssh.SSHServerConnection, wanted: Wanted, line: bytes, client: str
) -> tuple[Account, Mapping[str, str]] | None:
    """The account that a certificate names, and how it would log in, for the ledger; ``None``, and the user is told
    why: none.

    Raises ``DatabaseError``.
    """
    with contextlib.suppress(NameInvalid):
        name = normalise_name(wanted.user)
        try:
            shown, why, is_trusted = await gate.judge(line, name, client)
        except CertificateInvalid as error:
            _say(conn, CertificateRefused(str(error)))
            return None
        if not why:
            account = await gate.login.named(name)
            if account is None:
                return None
            if not shown.epoch or shown.epoch == str(account.auth_epoch):
                return account, {"how": f"{HOW} {shown.serial}", "keyId": Word(shown.key_id)}
            why = "the log-ins of its user were ended after it was signed"
        refusal = CertificateRefused(f"the certificate {shown.key_id[:60]!r} is not taken: {why}")
        _say(conn, refusal)
        if is_trusted:
            actor = Actor(ActorKind.ANONYMOUS, address=client)
            facts = {"kind": HOW, "serial": shown.serial, "authority": shown.authority, "code": refusal.row.code}
            target = Entity("access-session", "", wanted.target[:128])
            await gate.store.note("access.refuse", target, actor, facts, unnamed(why)[:300])
    return None


async def keyed(
    gate: Gate, conn: Callable[[], asyncssh.SSHServerConnection], wanted: Wanted, line: str, client: str
) -> tuple[Account, Mapping[str, str]] | None:
    """As :func:`certified`, by a key that the user has added to the own account. Raises ``DatabaseError``."""
    type_, key = line.split()[:2]
    account = await gate.login.by_key(wanted.user, type_, key)
    if account is None:
        return None
    fingerprint = fingerprint_of(line)
    if not await gate.is_revoked(fingerprint):
        return account, {"how": _KEY}
    refusal = CertificateRefused(f"the key {fingerprint} is not taken: it is revoked")
    _say(conn(), refusal)
    actor = Actor(ActorKind.ANONYMOUS, address=client)
    facts = {"kind": _KEY, "fingerprint": fingerprint, "code": refusal.row.code}
    await gate.store.note("access.refuse", Entity("access-session", "", wanted.target[:128]), actor, facts, _REVOKED)
    return None


async def counts_still(gate: Gate, account: Account, line: bytes, client: str) -> bool:
    """Whether the key or certificate that has let ``account`` in would do so now. Raises ``DatabaseError``."""
    text = line.decode()
    type_, key = text.split()[:2]
    if type_.endswith(_OF_CERTIFICATES):
        return not (await gate.judge(line, account.name, client)).why
    found = await gate.login.by_key(account.name, type_, key)
    return found is not None and found.id == account.id and not await gate.is_revoked(fingerprint_of(text))


def _say(conn: asyncssh.SSHServerConnection, refusal: CertificateRefused) -> None:
    with contextlib.suppress(OSError):
        conn.send_auth_banner(f"RP-PAM: {one_line(refusal)}\r\n")
