"""The gateway: SSH sessions with targets through this cluster, without knowing a password, each in the register."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="gateway",
    package=__name__,
    public=("errors", "model", "policy", "ports", "routes", "ssh.algorithms", "ssh.target", "ways"),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    settings=("policy:ACCESS", "policy:CERTIFICATES"),
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=(
        "api:access",
        "terminals_api:terminals",
        "user_keys_api:user_keys",
        "ssh_tokens_api:ssh_tokens",
        "browser_logins_api:ssh_logins",
        "authority_api:authority",
        "revocations_api:revocations",
    ),
    commands={
        "ca": Command("authority_cli", "Show and roll the SSH authority, get certificates, revoke them."),
        "session": Command("cli", "List, watch and end sessions with targets."),
        "ssh": Command("ssh_cli", "Open a shell on a target that outlives nodes."),
        "ssh-config": Command("ssh_config_cli", "Print Host blocks for OpenSSH."),
        "ssh-key": Command("user_keys_cli", "Public keys with which users log in at the gateway."),
        "ssh-token": Command("ssh_token_cli", "Tokens for one log-in at the gateway, typed as the password."),
    },
)
