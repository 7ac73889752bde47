"""Access tokens: the keys that sign them, what they say, and whether it still holds."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="tokens",
    package=__name__,
    public=("claims", "credentials", "host", "key_files", "service", "target"),
    actions="events:ACTIONS",
    routes=("api:auth",),
    node_tasks="watch:node_tasks",
    commands={
        "token": Command("cli", "Issue an admin token on this host, for scripts."),
        "login": Command("login_command", "Sign in from this workstation; commands act as you then."),
        "logout": Command("logout_command", "End the log-in of this workstation."),
    },
)
