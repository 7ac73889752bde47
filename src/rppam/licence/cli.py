"""``rppam license``: make a signing key, issue a licence with it, look at one and check one.

The private key is written with mode 0600 and never printed; only the issuer of licences needs it, no node does.
``show`` prints what a file says and whether that is signed; ``verify`` is for scripts: 0 good, 77 not.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit
from rppam.licence.errors import LicenceError, LicenceMissing, LicenceUnreadable
from rppam.licence.model import LicenceState, Tier, days_left, state_of, warning_of

if TYPE_CHECKING:
    from rppam.licence.model import Licence
    from rppam.licence.service import TrustedKey

_HELP: Final = {"help_option_names": ["-h", "--help"]}
_PATH: Final = click.Path(path_type=Path)
_json_option: Final = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group(
    "license",
    cls=Group,
    context_settings=_HELP,
    epilog="Example: rppam license verify license.jwt --trusted issuer.pub.pem",
)
def command() -> None:
    """Issue, show and verify licence files.

    Exit code 0: done; 1: the licence that is shown has expired; 2: wrong usage or terms; 77: a licence cannot be used,
    read or written; 78: a key cannot be used.
    """


@command.command("new-key", context_settings=_HELP, epilog="Example: rppam license new-key --out issuer.pem")
@click.option("--out", required=True, type=_PATH, help="Where to write the private key (PEM, mode 0600).")
@click.option("--force", is_flag=True, help="Replace a file that is already there.")
@_json_option
def new_key(out: Path, force: bool, as_json: bool) -> None:
    """Make a key that signs licences, and print its public part for license.trustedKeys.

    The public part is written beside it as well: issuer.pub.pem for issuer.pem, for --trusted and for `rppam init`.
    """
    from rppam.licence.service import new_private_key

    beside = out.with_name(f"{out.name.removesuffix('.pem')}.pub.pem")
    for file in (out, beside):
        if file.exists() and not force:
            raise click.UsageError(f"{file} exists; a key that is overwritten is lost (use --force if you mean it)")
    private, public = new_private_key()
    _write(out, private.reveal())
    _write(beside, public.pem(), mode=0o644)
    if as_json:
        files = {"privateKeyFile": str(out), "publicKeyFile": str(beside)}
        click.echo(json.dumps({**files, "keyId": public.id, "publicKey": public.text()}))
        return
    click.echo(f"Private key  {out}  (keep it off the nodes)", err=True)
    click.echo(f"Public key   {beside}  (for --trusted, on any host)", err=True)
    click.echo(f"Key id       {public.id}", err=True)
    click.echo("Public key, one entry of license.trustedKeys:", err=True)
    click.echo(public.text())


@command.command(
    "issue",
    context_settings=_HELP,
    epilog="Example: rppam license issue --key issuer.pem --tier enterprise --max-nodes 10 --days 365 "
    "--customer 'ACME' --out license.jwt",
)
@click.option("--key", required=True, type=_PATH, help="The private key (PEM) that `new-key` wrote.")
@click.option(
    "--tier",
    required=True,
    type=click.Choice([tier.value for tier in Tier], case_sensitive=False),
    help="The licence's tier.",
)
@click.option("--customer", required=True, help="Whom it is for.")
@click.option(
    "--max-nodes",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="Nodes in one cluster; witnesses are free.",
)
@click.option("--max-users", type=click.IntRange(1), help="Accounts; no limit when left out.")
@click.option("--max-resources", type=click.IntRange(1), help="Resources; no limit when left out.")
@click.option("--feature", "features", multiple=True, help="A named extra; may be repeated.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), default=365, show_default=True, help="Days until it expires, from now."
)
@click.option("--out", required=True, type=_PATH, help="The licence file to write; - for stdout.")
@_json_option
def issue(key: Path, tier: str, out: Path, as_json: bool, **terms: Any) -> None:
    """Sign a licence."""
    import uuid

    from rppam.kernel.secret import Secret
    from rppam.kernel.system_clock import SystemClock
    from rppam.licence import service as licences

    private = licences.parse_private_key(Secret(_text(key)), str(key))
    wanted = licences.Terms(tier=Tier(tier), **terms)
    token = licences.issue(wanted, private, str(uuid.uuid4()), SystemClock().wall_ms())
    if str(out) == "-":
        click.echo(token)
        return
    _write(out, token + "\n", mode=0o644)
    made = licences.verify(token, [licences.trusted_key(private.public_key())])
    _print_licence(_described(made, signature="good", now=SystemClock().wall_ms()) | {"file": str(out)}, as_json)


@command.command("show", context_settings=_HELP, epilog="Example: rppam license show /etc/rppam/license.jwt")
@click.argument("file", required=False, type=_PATH)
@click.option("--trusted", multiple=True, help="A public key (PEM file, or base64) to check the signature with.")
@click.option("--config", type=CONFIG_FILE, help="Take the file and the trusted keys from this config.")
@_json_option
def show(file: Path | None, trusted: Sequence[str], config: Path | None, as_json: bool) -> int:
    """Show what a licence says. Without FILE: the one that this host's config names.

    Exit code 0: shown; 1: shown, and it has expired; 77: it cannot be read; 78: a key cannot be used.
    """
    from rppam.config.load import load_settings
    from rppam.kernel.system_clock import SystemClock
    from rppam.licence.service import trusted_keys

    keys = _keys(trusted)
    if file is None or config is not None:
        settings = load_settings(config).license
        file = file or settings.path
        keys = keys or trusted_keys(settings)
    licence = _licence(file, keys or None)
    described = _described(licence, signature="good" if keys else "not checked", now=SystemClock().wall_ms())
    _print_licence(described | {"file": str(file)}, as_json)
    return Exit.NO if described["state"] == LicenceState.EXPIRED else Exit.DONE


@command.command(
    "verify", context_settings=_HELP, epilog="Example: rppam license verify license.jwt --trusted issuer.pub.pem"
)
@click.argument("file", type=_PATH)
@click.option("--trusted", multiple=True, help="A public key (PEM file, or base64); may be repeated.")
@click.option("--config", type=CONFIG_FILE, help="Take the trusted keys from this config.")
@_json_option
def verify(file: Path, trusted: Sequence[str], config: Path | None, as_json: bool) -> int:
    """Check a licence's signature, terms and expiry. Exit 0 when it is good now, else 77 with the reason."""
    from rppam.config.load import load_settings
    from rppam.kernel.system_clock import SystemClock
    from rppam.licence.service import trusted_keys

    if not trusted and config is None:
        raise click.UsageError("name who may sign: --trusted KEY, or --config FILE for license.trustedKeys")
    keys = _keys(trusted) or trusted_keys(load_settings(config).license)
    now = SystemClock().wall_ms()
    try:
        licence = _licence(file, keys)
    except LicenceError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"file": str(file), "valid": False, "code": error.row.code, "reason": str(error)}))
        return error.row.exit or Exit.LICENCE
    described = _described(licence, signature="good", now=now)
    valid = described["state"] != LicenceState.EXPIRED
    reason = "" if valid else described["warning"]
    _print_licence(described | {"file": str(file), "valid": valid, "reason": reason}, as_json)
    return Exit.DONE if valid else Exit.LICENCE


def _licence(file: Path, keys: "tuple[TrustedKey, ...] | None") -> "Licence":
    """The licence in ``file``; ``None`` for keys checks no signature. Raises what is wrong, naming the file."""
    from rppam.licence.service import inspect, verify

    text = _text(file)
    try:
        return inspect(text) if keys is None else verify(text, keys)
    except LicenceError as error:
        raise type(error)(f"{file}: {error}") from None


def _keys(entries: Sequence[str]) -> "tuple[TrustedKey, ...]":
    from rppam.licence.service import given_public_key

    found = []
    for entry in entries:
        is_file = "-----" not in entry and Path(entry).exists()
        found.append(given_public_key("--trusted", entry, _text(Path(entry)) if is_file else None))
    return tuple(found)


def _text(path: Path) -> str:
    from rppam.licence.service import read_text

    try:
        return read_text(path)
    except FileNotFoundError:
        raise LicenceMissing(f"{path}: there is no such file: copy it there, or name the one that is meant") from None
    except OSError as error:
        raise LicenceUnreadable(f"{path}: {error.strerror}") from None


def _write(path: Path, text: str, *, mode: int = 0o600) -> None:
    from rppam.cli.files import write_private

    try:
        write_private(path, text, mode=mode)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None


def _described(licence: "Licence", *, signature: str, now: Any) -> dict[str, Any]:
    warning = warning_of(licence, now)
    return {
        "id": licence.id,
        "customer": licence.customer,
        "tier": licence.tier.value,
        "maxNodes": licence.max_nodes,
        "maxUsers": licence.max_users,
        "maxResources": licence.max_resources,
        "features": list(licence.features),
        "issued": _day(licence.issued_at),
        "expires": _day(licence.expires_at),
        "daysLeft": max(0, days_left(licence, now)),
        "state": state_of(licence, now).value,
        "keyId": licence.key_id,
        "signature": signature,
        "warning": warning.sentence if warning else "",
    }


def _day(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_licence(described: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(described))
        return
    unlimited = "unlimited"
    lines = {
        "Licence": described["id"],
        "Customer": described["customer"],
        "Tier": described["tier"].capitalize() if described["tier"] != Tier.MSP else "MSP",
        "Nodes": described["maxNodes"],
        "Users": described["maxUsers"] or unlimited,
        "Resources": described["maxResources"] or unlimited,
        "Features": ", ".join(described["features"]) or "-",
        "Issued": described["issued"],
        "Expires": f"{described['expires']}  ({described['state']}, {described['daysLeft']} days left)",
        "Signed by": f"{described['keyId']}  (signature {described['signature']})",
        "File": described["file"],
    }
    for name, value in lines.items():
        click.echo(f"{name:<10} {value}")
    if described["warning"]:
        click.echo(described["warning"], err=True)
