"""``rppam recording``: list, search, keep, export, play and verify recordings, asked of any node; a file is verified
anywhere."""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from rppam.access.tokens.target import Where, asked, target_options
from rppam.cli.errors import fail, tell
from rppam.cli.group import Group
from rppam.kernel.errors import Exit
from rppam.kernel.logging import one_line
from rppam.targets.rest_command import listed

HOST: Final = "recording@host"
RECORDINGS: Final = "/api/v1/recordings"
FORMATS: Final = ("cast3", "cast2", "ttyrec", "txt")
_IDENT: Final = re.compile(r"[0-9A-Za-z-]{1,36}")
_HELP: Final = {"help_option_names": ["-h", "--help"]}
_TOKEN: Final = "the token of an administrator or auditor"  # noqa: S105 - no token
_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout.")


@click.group("recording", cls=Group, context_settings=_HELP, epilog="Example: rppam recording ls")
def command() -> None:
    """List, play, search, keep, export and verify recordings of sessions with targets."""


@command.command("ls", context_settings=_HELP, epilog="Example: rppam recording ls --session 01998f...")
@click.option("--session", metavar="ID", help="Those of one session.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="The newest so many.")
@_json
@target_options(_TOKEN)
def list_(*, session: str | None, limit: int, as_json: bool, where: Where) -> int:
    """Show recordings, the newest first.

    Exit code 0: shown; 2: could not look.
    """
    query = f"?pageSize={limit}" + (f"&session={session}" if session else "")
    found, problem = asked(where, HOST, "GET", RECORDINGS + query, timeout_s=60.0)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    if as_json:
        click.echo(json.dumps({"items": found["items"]}, ensure_ascii=False))
        return Exit.DONE
    rows = [("RECORDING", "SINCE", "USER", "ACCOUNT", "STATE", "WHAT")]
    for one in found["items"]:
        place = f"{one['account']}@{one['target']}"
        what = one["title"] or one["kind"]
        rows.append((one["id"], one["startedAt"], one["user"], place, one["state"], what[:60]))
    listed(rows, "there is no recording that this token may see")
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam recording files 01998f...")
@click.argument("session")
@_json
@target_options(_TOKEN)
def files(*, session: str, as_json: bool, where: Where) -> int:
    """Show which files SFTP carried in SESSION, which way, how large, and their SHA-256.

    Exit code 0: shown; 2: could not look.
    """
    after: str | None = "0"
    items: list[Any] = []
    while after is not None:
        path = f"/api/v1/access/sessions/{session}/files?pageSize=200&after={after}"
        found, problem = asked(where, HOST, "GET", path, timeout_s=60.0)
        if problem:
            fail(problem, str(found.get("code", "")))
            return Exit.ERRORS
        items += found["items"]
        if not as_json:
            for one in found["items"]:
                click.echo(_file_line(one))
        after = found["next"]
    if as_json:
        click.echo(json.dumps({"items": items}, ensure_ascii=False))
    elif not items:
        click.echo("no file was carried by SFTP in this session")
    return Exit.DONE


def _file_line(one: Mapping[str, Any]) -> str:
    if one["what"] == "transfer":
        end = "" if one["complete"] else "  (cut off)"
        return (
            f"{one['at']}  {one['direction']:<4} {one['bytes']:>12}  {one['sha256'] or one['why']}  {one['path']}{end}"
        )
    words = " -> ".join(path for path in (one["path"], one["to"]) if path) or one["why"]
    return f"{one['at']}  {one['what']}  {words}" + ("" if one["complete"] else "  (not done)")


@command.command(context_settings=_HELP, epilog="Example: rppam recording export 01998f... --output login.cast")
@click.argument("recording")
@click.option("--format", "form", type=click.Choice(FORMATS), default="cast3", show_default=True, help="Of the file.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else stdout.")
@target_options(_TOKEN)
def export(*, recording: str, form: str, output: Path | None, where: Where) -> int:
    """Write RECORDING as a file: asciicast, ttyrec with the very bytes, or text.

    Exit code 0: written; 2: could not be had.
    """
    from rppam.http.client import NoAnswerError

    try:
        with click.open_file(str(output or "-"), "wb") as file:
            for piece in _pieces(where, recording, form):
                file.write(piece)
    except (NoAnswerError, OSError) as error:
        fail(str(error))
        return Exit.ERRORS
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam recording play 01998f... --speed 2")
@click.argument("recording")
@click.option("--speed", type=click.FloatRange(0.1, 100), default=1.0, show_default=True, help="So many times as fast.")
@click.option("--idle", type=click.FloatRange(0), default=2.0, show_default=True, help="Seconds a pause lasts at most.")
@target_options(_TOKEN)
def play(*, recording: str, speed: float, idle: float, where: Where) -> int:
    """Show RECORDING in this terminal as it happened.

    Exit code 0: to its end; 2: could not be had.
    """
    from rppam.http.client import NoAnswerError

    last = 0.0
    try:
        for line in _lines(_pieces(where, recording, "cast2")):
            event = json.loads(line)
            if not isinstance(event, list) or event[1] != "o":
                continue
            time.sleep(min(idle, max(0.0, event[0] - last)) / speed)
            last = event[0]
            sys.stdout.write(event[2])
            sys.stdout.flush()
    except (NoAnswerError, ValueError) as error:
        fail(str(error))
        return Exit.ERRORS
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam recording verify login.cast")
@click.argument("recording")
@_json
@target_options(_TOKEN)
def verify(*, recording: str, as_json: bool, where: Where) -> int:
    """Verify RECORDING against the ledger; or a file that was exported as cast3, which needs no node.

    Exit code 0: whole; 1: it was changed; 2: could not look.
    """
    if Path(recording).is_file():
        return _verify_file(Path(recording), as_json=as_json)
    if not _IDENT.fullmatch(recording):
        fail(f"{recording!r} is no file that is here, and no id of a recording: 'rppam recording ls' shows those")
        return Exit.ERRORS
    found, problem = asked(where, HOST, "POST", f"{RECORDINGS}/{recording}/verify", timeout_s=60.0)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    said = found["problem"] or f"{found['chunks']} chunks, {found['bytes']} bytes, as the ledger has them"
    click.echo(json.dumps(found) if as_json else said)
    return Exit.DONE if found["ok"] else Exit.NO


def _verify_file(path: Path, *, as_json: bool) -> int:
    from rppam.recordings.errors import RecordingFileBroken
    from rppam.recordings.formats import check_file

    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            found = check_file(file)
    except (RecordingFileBroken, UnicodeDecodeError) as error:
        is_text = isinstance(error, RecordingFileBroken)
        said = f"{path}: {error if is_text else 'it is no text, and so no recording that was exported as cast3'}"
        click.echo(json.dumps({"ok": False, "problem": said}) if as_json else said)
        return Exit.NO
    if as_json:
        click.echo(json.dumps({"ok": True, **found._asdict()}))
    else:
        click.echo(f"as it was exported: recording {found.recording}, {found.chunks} chunks, last hash {found.head}")
    return Exit.DONE


@command.command(context_settings=_HELP, epilog="Example: rppam recording search 'rm -rf' --target web1")
@click.argument("text")
@click.option("--session", metavar="ID", default="", help="Only in recordings of this session.")
@click.option("--user", metavar="NAME", default="", help="Only in those of this user.")
@click.option("--target", metavar="NAME", default="", help="Only in those of sessions with this target.")
@_json
@target_options(_TOKEN)
def search(*, text: str, session: str, user: str, target: str, as_json: bool, where: Where) -> int:
    """Show lines of recordings that have TEXT, the newest recordings first. Upper and lower case are alike.

    What was typed is found where the target showed it. Each recording that is shown is in the ledger as looked at.

    Exit code 0: found; 1: in none; 2: could not look, or not in all of them.
    """
    from rppam.http.client import NoAnswerError
    from rppam.http.download import pieces

    place = where.target(HOST)
    body = {"text": text, "session": session, "user": user, "target": target}
    end: Mapping[str, Any] = {}
    try:
        url = f"{place.url.rstrip('/')}{RECORDINGS}/search"
        for line in _lines(pieces(url, place.token(), place.trust, body)):
            found = json.loads(line)
            end = found if found.get("over") else {}
            if as_json and "searched" not in found:
                click.echo(line)
            elif not as_json:
                _show_found(found)
    except (NoAnswerError, ValueError) as error:
        fail(str(error))
        return Exit.ERRORS
    if not end:
        tell("the answer broke off, so it is not known what else has it; search again")
        return Exit.ERRORS
    click.echo(f"searched {end['searched']} recordings", err=True)
    if end["problems"]:
        return Exit.ERRORS
    return Exit.DONE if end["hits"] else Exit.NO


def _show_found(found: Mapping[str, Any]) -> None:
    if "line" in found:
        minutes, seconds = divmod(found["atMs"] // 1000, 60)
        who = f"{found['user']} {found['account']}@{found['target']}"
        said = f"{found['recording']}  {found['startedAt']} +{minutes}:{seconds:02}  {who}: {found['line']}"
        click.echo(one_line(said))
    elif "problem" in found:
        tell(f"{found['recording']} could not be searched: {found['problem']}")
    elif "lines" in found:
        click.echo(f"{found['recording']} has {found['lines']} such lines; play or export it", err=True)
    elif "searched" in found and not found.get("over") and sys.stderr.isatty():
        click.echo(f"\rsearched {found['searched']} recordings ...", err=True, nl=False)


@command.command(context_settings=_HELP, epilog="Example: rppam recording hold 01998f... --reason 'case 42'")
@click.argument("recording")
@click.option("--reason", required=True, help="Why; it stands in the ledger.")
@target_options(_TOKEN)
def hold(*, recording: str, reason: str, where: Where) -> int:
    """Keep RECORDING whatever its age, until it is released.

    Exit code 0: held; 2: could not.
    """
    return _order(where, recording, "hold", reason, "it is kept until it is released")


@command.command(context_settings=_HELP, epilog="Example: rppam recording release 01998f... --reason 'case 42 closed'")
@click.argument("recording")
@click.option("--reason", required=True, help="Why; it stands in the ledger.")
@target_options(_TOKEN)
def release(*, recording: str, reason: str, where: Where) -> int:
    """Have RECORDING be deleted once its time is over, as others are.

    Exit code 0: released; 2: could not.
    """
    return _order(where, recording, "release", reason, "it is deleted once its time is over")


def _order(where: Where, recording: str, what: str, reason: str, done: str) -> int:
    found, problem = asked(where, HOST, "POST", f"{RECORDINGS}/{recording}/{what}", {"reason": reason}, timeout_s=60.0)
    if problem:
        fail(problem, str(found.get("code", "")))
        return Exit.ERRORS
    click.echo(done, err=True)
    return Exit.DONE


def _pieces(where: Where, recording: str, form: str) -> Iterator[bytes]:
    from rppam.http.download import pieces

    target = where.target(HOST)
    return pieces(
        f"{target.url.rstrip('/')}{RECORDINGS}/{recording}/export?format={form}", target.token(), target.trust
    )


def _lines(found: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in found:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line.decode() for line in whole)
