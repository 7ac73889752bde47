"""``rppam audit archive`` and ``archives``: events to a file, before the leader prunes them.

The file is a bundle: signed by the ledger's key, and verified anywhere by ``rppam audit verify FILE``. It is read back
and verified before it is recorded, so what is pruned later was whole in a file once.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rppam.cli.errors import fail
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit

if TYPE_CHECKING:
    from rppam.audit.reading import Reading

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_config: Final = click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
_json: Final = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.command("archive", context_settings=_HELP, epilog="Example: rppam audit archive /backup/ledger-2026-03.jsonl")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--from", "first", metavar="INDEX", type=click.IntRange(0), help="From here on; else where the last ended."
)
@click.option("--without-names", is_flag=True, help="Leave out names and addresses: only what is signed.")
@_config
@_json
def archive(*, file: Path, first: int | None, without_names: bool, config: Path | None, as_json: bool) -> int:
    """Write what was recorded since the last archive to FILE, which must not exist, verify it, and record that.

    With the setting audit/archive the leader prunes old events that are in such a file. Exit code 0: written, or there
    was nothing new; 1: what was written is not whole; others as every command that opens the database.
    """
    from getpass import getuser

    from rppam.audit.reading import Reading
    from rppam.audit.verify import Tampered
    from rppam.kernel.actor import Actor, ActorKind, acting
    from rppam.ledger.errors import ArchiveRefused

    with Reading(config) as reading, acting(Actor(ActorKind.HOST, name=getuser())):
        newest = reading.ask(reading.ledger.newest())
        end = newest.size if newest is not None else 0
        last = max((one.end for one in reading.ask(reading.archives.all())), default=0)
        start = last if first is None else first
        if start > last:
            raise ArchiveRefused(f"the last archive ends before event {last}, so expected at most that, found {start}")
        if start >= end:
            click.echo(f"nothing is new since event {start}", err=True)
            return Exit.DONE
        if file.exists():
            raise ArchiveRefused(f"{file} exists already")
        try:
            digest = _write(reading, file, start, end, has_words=not without_names)
        except Tampered as error:
            fail(f"the ledger was tampered with, at {error.place}: {error.sentence}. Nothing is archived.")
            return Exit.NO
        reading.ask(reading.archives.add(start, end, digest, str(file.absolute())[-256:], getuser()))
    if as_json:
        click.echo(json.dumps({"first": start, "events": end - start, "sha256": digest}))
    else:
        click.echo(f"{end - start} events from {start} on in {file}, SHA-256 {digest}")
    return Exit.DONE


@click.command("archives", context_settings=_HELP, epilog="Example: rppam audit archives")
@_config
@_json
def archives(*, config: Path | None, as_json: bool) -> None:
    """List the files that events were archived to."""
    from rppam.audit.reading import Reading
    from rppam.http.times import iso_utc
    from rppam.targets.rest_command import table

    with Reading(config) as reading:
        found = reading.ask(reading.archives.all())
    rows = [one._asdict() | {"made_at": iso_utc(one.made_at)} for one in found]
    if as_json:
        names = {"made_at": "madeAt", "digest": "sha256"}
        items = [{names.get(name, name): value for name, value in row.items()} for row in rows]
        click.echo(json.dumps({"items": items}, ensure_ascii=False))
        return
    head = ("FIRST", "LAST", "MADE", "BY", "SHA-256", "FILE")
    table(
        [
            head,
            *((str(one.first), str(one.end - 1), iso_utc(one.made_at), one.by, one.digest, one.file) for one in found),
        ]
    )


def _write(reading: "Reading", file: Path, first: int, end: int, *, has_words: bool) -> str:
    """Written, verified, on the disk; its SHA-256. Raises Tampered: then there is no file."""
    import hashlib

    from rppam.audit.judge import export_part, verify_bundle
    from rppam.kernel.files import sync_directory, sync_file

    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    part.touch(0o600)
    try:
        export_part(reading, part, first, end, has_words=has_words)
        verify_bundle(part, reading.key())
        sync_file(part)
        with part.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    sync_directory(file.parent)
    return digest
