"""``rppam token``: an admin token on the node's own host, for scripts.

Decides nothing: reading the signing keys is enough to sign a token anyway, and without it this does not run. It
asks neither the node nor Redis nor the database, so it works while all are away. The token alone goes to stdout.
"""

import json
from pathlib import Path

import click

from rppam.access.tokens.keys_command import command as keys
from rppam.access.tokens.revoke_command import command as revoke
from rppam.cli.group import Group
from rppam.cli.paths import CONFIG_FILE


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        'Example: curl -s -H "Authorization: Bearer $(rppam token)" http://localhost:7101/system/health/cluster'
        " | jq .redisConnected"
    ),
)
@click.option("--config", "config", type=CONFIG_FILE, help="The config file; else RPPAM_CONFIG.")
@click.option("--user", default="admin", show_default=True, help="The name that the token carries, for the log.")
@click.option(
    "--minutes", type=click.IntRange(1, 1440), help="How long it is valid.  [default: auth.tokenMinutes of the config]"
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def command(context: click.Context, config: Path | None, user: str, minutes: int | None, as_json: bool) -> None:
    """Print an access token with the role pam_admin, signed with this node's keys.

    Run it as the account that runs the node, or as root: it needs to read the keys in auth.jwtKeysDir.
    'rppam token revoke' ends a token before its time; 'rppam token keys' changes the keys.
    """
    if context.invoked_subcommand is not None:
        return
    from rppam.access.accounts.model import normalise_name
    from rppam.access.tokens.claims import session_id_of
    from rppam.access.tokens.host import tokens_of
    from rppam.config.load import load_settings
    from rppam.http.times import iso_utc
    from rppam.kernel.instant import WallMs

    name = normalise_name(user)
    settings = load_settings(config)
    issued = tokens_of(settings).issue_admin(name, minutes if minutes is not None else settings.auth.token_minutes)
    if not as_json:
        click.echo(issued.token.reveal())
        return
    shown = {
        "accessToken": issued.token.reveal(),
        "tokenType": "Bearer",
        "sessionId": session_id_of(issued.claims),
        "expiresAt": iso_utc(WallMs(issued.claims.expires_at_s * 1000)),
        "user": issued.claims.subject,
        "node": issued.claims.node,
    }
    click.echo(json.dumps(shown))


command.add_command(keys)
command.add_command(revoke)
