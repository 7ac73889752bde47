"""``rppam ca revoke``, ``revocations``, ``restore`` and ``krl``: what the authority has signed and counts no more."""

import json
from pathlib import Path
from typing import Final

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail
from rppam.gateway.authority_options import CA, HELP, HOST, failed, json_option, where_options
from rppam.kernel.errors import Exit

REVOKED: Final = f"{CA}/revocations"
KRL: Final = f"{CA}/krl"
_reason: Final = click.option("--reason", required=True, help="Why; the ledger keeps it.")


@click.command("revoke", context_settings=HELP, epilog="Example: rppam ca revoke --serial 7105 --reason 'laptop lost'")
@click.option("--serial", type=click.IntRange(1), help="One certificate, as `ssh-keygen -L` shows it.")
@click.option("--key-id", help="All certificates that bear it; none is signed with it any more.")
@click.option("--key", help="Whatever is for a key: its fingerprint (SHA256:...), or the .pub file.")
@click.option("--certificate", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The one in a file.")
@_reason
@json_option
@where_options
def revoke(
    *,
    serial: int | None,
    key_id: str | None,
    key: str | None,
    certificate: Path | None,
    reason: str,
    as_json: bool,
    where: Where,
) -> int:
    """Have a certificate of the authority, or a key, count no more: at the gateways at once, at targets once they have
    the list that `rppam ca krl` writes.

    Exit code 0: revoked; 1: it is already; 2: could not be done.
    """
    given = {"serial": serial, "key-id": key_id, "key": key, "certificate": certificate}
    named = [kind for kind, value in given.items() if value is not None]
    if len(named) != 1:
        raise click.UsageError("expected one of --serial, --key-id, --key and --certificate")
    if certificate is not None:
        body = {"kind": "serial", "word": _serial_in(certificate)}
    else:
        body = {"kind": named[0], "word": _fingerprint(key) if key is not None else str(given[named[0]])}
    found, problem = asked(where, HOST, "POST", REVOKED, {**body, "reason": reason})
    if problem:
        return failed(found, problem)
    click.echo(json.dumps(found) if as_json else f"revoked: {found['kind']} {found['word']} ({found['id']})")
    return Exit.DONE


@click.command("revocations", context_settings=HELP, epilog="Example: rppam ca revocations")
@json_option
@where_options
def revocations(*, as_json: bool, where: Where) -> int:
    """Show what is revoked, the newest first, with who did it and why.

    Exit code 0: shown; 2: could not look.
    """
    found, problem = asked(where, HOST, "GET", REVOKED)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    if as_json:
        click.echo(json.dumps({"items": found["items"]}, ensure_ascii=False))
        return Exit.DONE
    for one in found["items"]:
        click.echo(f"{one['id']}  {one['at']}  {one['by']:<12} {one['kind']:<7} {one['word']}  {one['reason']}")
    return Exit.DONE


@click.command("restore", context_settings=HELP, epilog="Example: rppam ca restore 8f14e45f-... --reason 'found again'")
@click.argument("revocation")
@_reason
@where_options
def restore(*, revocation: str, reason: str, where: Where) -> int:
    """Take REVOCATION, an id that `rppam ca revocations` shows, back: what it revoked counts again until it expires.

    Exit code 0: done; 1: there is none; 2: could not be done.
    """
    found, problem = asked(where, HOST, "POST", f"{REVOKED}/{revocation}/lift", {"reason": reason})
    return failed(found, problem) if problem else Exit.DONE


@click.command("krl", context_settings=HELP, epilog="Example: rppam ca krl --output /etc/ssh/rppam.krl")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file.")
@target_options("the token of any user")
def krl(*, output: Path, where: Where) -> int:
    """Write the list for RevokedKeys of a target's sshd. The file is replaced as a whole: an sshd that finds a part of
    one, or none, lets nobody in by key.

    Exit code 0: written; 2: could not be had, and the file is as it was.
    """
    from rppam.cli.files import write_private
    from rppam.http.client import NoAnswerError
    from rppam.http.download import pieces

    target = where.target(HOST)
    try:
        data = b"".join(pieces(target.url.rstrip("/") + KRL, target.token(), target.trust))
        if not data.startswith(b"SSHKRL\n\0"):
            raise NoAnswerError(f"{target.url}: expected a list of revoked keys, found something else")
        write_private(output, data, mode=0o644)
    except (NoAnswerError, OSError) as error:
        fail(str(error))
        return Exit.ERRORS
    click.echo(f"{output}: {len(data)} bytes")
    return Exit.DONE


COMMANDS: Final = (revoke, revocations, restore, krl)


def _serial_in(file: Path) -> str:
    from rppam.gateway.certificates import shown
    from rppam.gateway.errors import CertificateInvalid

    try:
        return str(shown(file.read_bytes().strip()).serial)
    except (OSError, CertificateInvalid) as error:
        raise click.UsageError(f"--certificate {file}: {error}") from None


def _fingerprint(key: str) -> str:
    from rppam.targets.errors import ResourceInvalid
    from rppam.targets.model import read_host_key

    if key.startswith("SHA256:"):
        return key
    try:
        return read_host_key(Path(key).read_text(encoding="utf-8")).fingerprint
    except (OSError, ValueError, ResourceInvalid) as error:
        raise click.UsageError(f"--key {key}: expected a fingerprint or a .pub file ({error})") from None
