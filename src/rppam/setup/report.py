"""What ``rppam init`` says when it is done: what was written, and what is left to type."""

import json
from collections.abc import Sequence
from pathlib import Path
from socket import gethostname
from typing import Any

import click

from rppam.cluster.driver.datadir import FIRST_ADMIN_FILE
from rppam.config.advertised import api_url
from rppam.setup.write import Outcome


def answer_of(outcome: Outcome) -> dict[str, Any]:
    """For programs."""
    settings = outcome.settings
    return {
        "config": str(outcome.config),
        "nodeName": settings.node.node_name,
        "written": [str(path) for path in outcome.written],
        "backups": [str(path) for path in outcome.backups],
        "licensePath": str(settings.license.path),
        "warnings": list(outcome.warnings),
    }


def report(outcome: Outcome, answer: dict[str, Any], *, joined: bool, member: bool) -> None:
    """For people. ``member``: it was waited for."""
    report_written(outcome)
    if "bundle" in answer:
        show_bundle(answer, as_json=False)
    if member:
        click.echo(f"\n{answer['nodeName']} is a member of the cluster: healthy, and its vote counts.")
    elif "next" in answer:
        _report_steps(outcome, answer["next"])
    else:
        _report_next(outcome, joined=joined, bundled="bundle" in answer)


def report_planned(paths: Sequence[Path], *, as_json: bool) -> None:
    """What a dry run has found."""
    if as_json:
        click.echo(json.dumps({"dryRun": True, "written": [str(path) for path in paths]}))
        return
    for path in paths:
        click.echo(f"would write {path}")
    if not paths:
        click.echo("everything stands there already")


def _report_steps(outcome: Outcome, steps: Sequence[str]) -> None:
    click.echo("\nNext:")
    for step in steps:
        click.echo(f"  {step}")
    where, place = api_url(outcome.settings, hostname=gethostname()), outcome.settings.node.data_dir / FIRST_ADMIN_FILE
    click.echo(f"  log in as admin at {where}/console/        (its password: in {place}, once it runs)")


def report_written(outcome: Outcome) -> None:
    """The files, and what should be known of them."""
    name = outcome.settings.node.node_name
    if outcome.written:
        click.echo(f"{name} is set up. Written:")
        for path in outcome.written:
            click.echo(f"  {path}")
        for path in outcome.backups:
            click.echo(f"  {path}  (what was there before)")
    else:
        click.echo(f"{name} was set up like this already; nothing was changed.")
    for warning in outcome.warnings:
        click.echo(f"Note: {warning}.")


def _report_next(outcome: Outcome, *, joined: bool, bundled: bool) -> None:
    settings, config = outcome.settings, outcome.config
    click.echo("\nNext:")
    if settings.cluster.enabled and not settings.license.path.exists():
        click.echo(f"  put the licence at {settings.license.path}, and its signer's key into license.trustedKeys")
    click.echo(f"  rppam node --config {config}        (or let systemd run it: systemctl enable --now rppam)")
    click.echo(f"  rppam status --config {config}")
    if not joined:
        where, password = api_url(settings, hostname=gethostname()), settings.node.data_dir / FIRST_ADMIN_FILE
        click.echo(f"  log in as admin at {where}/console/        (its password: in {password}, once it runs)")
    if settings.cluster.enabled and not joined and not bundled:
        click.echo(f"  rppam init --config {config} --bundle join.bundle        for the next node")


def show_bundle(answer: dict[str, Any], *, as_json: bool) -> None:
    """A bundle for another host, and how it is used there."""
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo(f"\nJoin bundle: {answer['bundle']}  (opens for {answer['hours']} h)")
    if "passphrase" in answer:
        click.echo(f"Passphrase:  {answer['passphrase']}        (shown once; send it another way than the bundle)")
    else:
        click.echo(f"Passphrase:  in {answer['passphraseFile']}")
    name = Path(answer["bundle"]).name
    own = answer.get("onlyFor")
    if "witness" in answer:
        click.echo(f"On the witness's host:  rppam init --witness --join {name} --node-name {own or 'witness1'}")
    else:
        click.echo(f"On the next host:  rppam init --join {name} --node-name {own or 'node2'}")
