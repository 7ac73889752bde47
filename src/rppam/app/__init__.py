"""The composition root: plugs the parts together, and the mains of node, worker and witness."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="application",
    package=__name__,
    actions="events:ACTIONS",
    commands={
        "config": Command("config_cli", "Check, show and encrypt rppam.config; parse connection strings."),
        "database": Command("database_cli", "Finish an update of the database."),
        "node": Command("node_cli", "Run one node in the foreground, for a service manager."),
        "witness": Command("witness_cli", "Run a member that votes and never leads."),
    },
)
