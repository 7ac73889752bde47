"""``rppam vault ceremony``, ``unseal`` and ``seal``: a master key that nobody holds alone.

On the hosts of nodes, not over REST: a share is typed where the key is needed, and travels over no network.
"""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from rppam.cli.errors import tell
from rppam.cli.paths import CONFIG_FILE
from rppam.kernel.errors import Exit
from rppam.targets.rest_command import HELP, Refused

_config: Final = click.option("--config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")


@click.command("ceremony", context_settings=HELP, epilog="Example: rppam vault ceremony --shares 5 --threshold 3")
@click.option("--shares", "count", type=click.IntRange(2, 16), default=5, show_default=True, help="How many are made.")
@click.option("--threshold", type=click.IntRange(2, 16), default=3, show_default=True, help="How many are needed.")
@click.option("--of", "key_file", type=click.Path(dir_okay=False, path_type=Path), help="Split this key file instead.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write a file for each; else one screen.")
def ceremony(*, count: int, threshold: int, key_file: Path | None, out: Path | None) -> int:
    """Make a master key and show its shares, one at a time, each to the person who keeps it.

    The key itself is kept nowhere: 'rppam vault unseal' brings shares together. Shares of a key that is there (--of)
    are a backup of it.
    """
    from rppam.config.host_secrets import read_key
    from rppam.vault.shamir import split

    key = read_key(key_file) if key_file else secrets.token_bytes(32)
    shares = split(key, threshold, count)
    if out is not None:
        _write(out, {f"share-{share.number}": share.text() for share in shares})
    for share in shares if out is None else ():
        if not sys.stdout.isatty():
            raise Refused("shares are shown on a terminal alone; --out writes a file for each")
        click.prompt(f"Share {share.number} of {count}: let its keeper come, and press Enter", default="", err=True)
        click.echo(share.text())
        click.prompt("Written down? Press Enter, and the screen is cleared", default="", err=True)
        click.clear()
    click.echo(f"{count} shares of the key {shares[0].key_id}; {threshold} of them open the vault", err=True)
    return Exit.DONE


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """A new file for each. Raises :class:`Refused`; none is written where one is there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = [name for name in texts if os.path.lexists(folder / name)]
        if there:
            raise Refused(
                f"--out {folder}: expected no shares, found {', '.join(there)}, which may be the only copy; "
                "choose another folder"
            )
        for name, text in texts.items():
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(text + "\n")
    except OSError as error:
        raise Refused(f"--out {folder}: expected a folder to write to, found: {error.strerror}") from None


@click.command("unseal", context_settings=HELP, epilog="Example: rppam vault unseal --config /etc/rppam/rppam.config")
@_config
def unseal(*, config: Path | None) -> int:
    """Bring shares together and open the vault on this node; the other nodes get the key from it.

    Shares are asked for one after another, hidden, or read from stdin, one a line. It is recorded first: while the
    database is away nothing is opened, and there is nothing to read.
    """
    from rppam.cli.recorded import record_before
    from rppam.config.load import load_settings
    from rppam.kernel.errors import RppamError
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity
    from rppam.vault.errors import SharesWrong
    from rppam.vault.shamir import Share, combine, read
    from rppam.vault.unsealed import check, keep

    settings = load_settings(config)
    if "shares" not in {settings.vault.key_source, settings.vault.key_source_before}:
        raise Refused("vault.keySource is not shares here, so nothing is unsealed")
    lines = None if sys.stdin.isatty() else iter(sys.stdin.read().split())
    shares: dict[int, Share] = {}
    while not shares or len(shares) < next(iter(shares.values())).threshold:
        if lines is None:
            word = click.prompt(f"Share {len(shares) + 1}", hide_input=True, err=True, type=str)
        else:
            word = next(lines, "")
            if not word:
                break
        try:
            share = read(word)
        except SharesWrong as error:
            if lines is not None:
                raise
            tell(f"{error}; once more")
            continue
        shares[share.number] = share
    key, name = combine(list(shares.values())), settings.node.node_name
    check(settings.vault.unsealed_path)
    try:
        record_before(settings, Act("vault.unseal", Entity("vault-key", name, name), {"by": "shares"}))
    except (RppamError, OSError) as error:
        raise Refused(f"the vault stays closed, as its opening cannot be recorded in the ledger: {error}") from None
    keep(settings.vault.unsealed_path, key, settings.node.data_dir)
    click.echo(f"the vault is open on {name}; the other nodes get the key from it", err=True)
    return Exit.DONE


@click.command("seal", context_settings=HELP, epilog="Example: rppam vault seal --config /etc/rppam/rppam.config")
@_config
def seal(*, config: Path | None) -> int:
    """Close the vault on this node. While another one is open, this one opens again (vault.peerUnseal): close all.

    Where the database is away it is closed all the same; the node records it once it can.
    """
    from rppam.cli.recorded import record_on_host
    from rppam.config.load import load_settings
    from rppam.ledger.acts import Act
    from rppam.ledger.model import Entity
    from rppam.vault.unsealed import forget

    settings = load_settings(config)
    name, was_open = settings.node.node_name, settings.vault.unsealed_path.exists()
    if was_open and not record_on_host(settings, Act("vault.seal", Entity("vault-key", name, name))):
        click.echo(f"{name} records it once its database answers", err=True)
    was_open = forget(settings.vault.unsealed_path)
    click.echo(f"the vault is {'closed' if was_open else 'closed already'} on {name}", err=True)
    return Exit.DONE
