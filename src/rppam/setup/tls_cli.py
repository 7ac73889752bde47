"""``rppam tls``: an authority of its own, and certificates for the API, Redis, and those who ask Redis.

It reads and writes one folder and nothing else: no node needs to run, and no service is told.
"""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.cli.group import Group

if TYPE_CHECKING:
    from rppam.setup.tls_folder import Made, TlsFolder

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_DIR: Final = click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("/etc/rppam/tls"),
    show_default=True, help="Folder of the authority (ca.pem, ca.key) and of what it signs.",
)  # fmt: skip
_DAYS_MAX: Final = 36_500


def _days(default: str) -> Callable[[Any], Any]:
    return click.option("--days", type=click.IntRange(1, _DAYS_MAX), help=f"How long it lasts.  [default: {default}]")


@click.group("tls", cls=Group, context_settings=_HELP, epilog="Example: rppam tls ca --dir /etc/rppam/tls")
def command() -> None:
    """Certificates for HTTPS and for TLS to Redis, of an authority of its own.

    Make the authority once, on one host; issue there, and copy to each host its own files and ca.pem. ca.key can make a
    certificate for any name: it belongs on no server, and into a backup.
    """


def _in_folder(action: Callable[..., list["Made"]]) -> Callable[..., None]:
    """Give ``action`` the folder, and show what it made."""

    @wraps(action)
    def run(folder: Path, *, as_json: bool, **options: Any) -> None:
        from rppam.kernel.system_clock import SystemClock
        from rppam.setup.errors import CertificateFilesError
        from rppam.setup.tls_folder import TlsFolder

        try:
            _show(action(TlsFolder(folder, SystemClock().wall_ms()), **options), as_json=as_json)
        except OSError as error:
            if error.filename is None:  # nobody reads what is printed
                raise
            found = f"{error.filename}: {error.strerror}. Run this as root, or use --dir"
            raise CertificateFilesError(found) from None

    return run


@command.command("ca", context_settings=_HELP, epilog="Example: rppam tls ca --dir tls --name 'Example PAM authority'")
@_DIR
@click.option("--name", default="RP-PAM authority", show_default=True, help="Its name, as people see it.")
@_days("3650")
@_JSON
@_in_folder
def ca(folder: "TlsFolder", *, name: str, days: int | None) -> list["Made"]:
    """Make the authority: ca.pem, which everybody may have, and ca.key, which nobody else may.

    One that is there is kept.
    """
    from rppam.setup.certificates import AUTHORITY_DAYS

    if not 0 < len(name) <= 64:
        raise click.UsageError("--name: expected 1 to 64 characters")
    return [folder.make_authority(name, days or AUTHORITY_DAYS)]


@command.command(
    "issue", context_settings=_HELP, epilog="Example: rppam tls issue node1.example.com 10.0.1.11 --dir tls --out node1"
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_DIR
@click.option(
    "--for", "purpose", type=click.Choice(["api", "redis", "node", "witness"]), default="api", show_default=True,
    help="api: HTTPS of a node. redis: a Redis or sentinel. node, witness: who shows it to Redis (.pfx).",
)  # fmt: skip
@click.option("--out", "file", default="", help="Name of the files, without an ending.  [default: the first NAME]")
@_days("825")
@click.option("--force", is_flag=True, help="Replace a certificate that is for something else.")
@_JSON
@_in_folder
def issue(
    folder: "TlsFolder", *, names: tuple[str, ...], purpose: str, file: str, days: int | None, force: bool
) -> list["Made"]:
    """Issue a certificate for all host names and addresses by which the server is reached.

    For api and redis OUT.pem and OUT.key are written; for node and witness OUT.pfx, and its password in OUT.password.
    The same order again changes nothing.
    """
    from rppam.setup.certificates import CERTIFICATE_DAYS

    return [folder.issue(names, purpose, file=file, days=days or CERTIFICATE_DAYS, force=force)]


@command.command("renew", context_settings=_HELP, epilog="Example: rppam tls renew --dir tls --within 60")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_DIR
@click.option(
    "--within", type=click.IntRange(0, _DAYS_MAX), default=30, show_default=True,
    help="Without NAME: renew what ends within so many days.",
)  # fmt: skip
@_days("as for a new one")
@click.option("--new-key", is_flag=True, help="Make a new key, too; the authority keeps its own in any case.")
@_JSON
@_in_folder
def renew(folder: "TlsFolder", *, names: tuple[str, ...], within: int, days: int | None, new_key: bool) -> list["Made"]:
    """Make certificates last longer; what each is for stays: its names, its purpose and its key.

    NAME is a file without its ending, and 'ca' the authority, after which what it signed is still good. A node shows
    the new file within seconds.
    """
    return [folder.renew(one, days, new_key=new_key) for one in names or folder.due(within)]


@command.command("list", context_settings=_HELP, epilog="Example: rppam tls list --dir tls")
@_DIR
@_JSON
@_in_folder
def list_(folder: "TlsFolder") -> list["Made"]:
    """Show the certificates of the folder, whom they are for and until when."""
    return folder.all()


def _show(made: list["Made"], *, as_json: bool) -> None:
    from rppam.crypto.certificate_expiry import shown_date
    from rppam.http.times import iso_utc_ms

    if as_json:
        rows = [
            {
                "name": one.name,
                "written": [str(path) for path in one.written],
                "names": list(one.names),
                "notAfter": iso_utc_ms(one.until_ms),
            }
            for one in made
        ]
        click.echo(json.dumps({"items": rows}, ensure_ascii=False))
        return
    for one in made:
        for path in one.written:
            click.echo(f"wrote {path}")
        click.echo(f"{one.name}: for {', '.join(one.names)}, until {shown_date(one.until_ms)}")
    if not made:
        click.echo("nothing is due")
