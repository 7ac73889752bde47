"""The vault: secrets of privileged accounts, who may have them, and who has them checked out."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="vault",
    package=__name__,
    public=(
        "candidate_store",
        "checkout_store",
        "errors",
        "generator",
        "keys",
        "model",
        "own_use",
        "policy",
        "ports",
        "sealing",
        "service",
        "signing_in",
        "store",
        "tables",
    ),
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    node_tasks="wiring:node_tasks",
    routes=("api:vault", "folder_api:folders"),
    commands={"vault": Command("cli", "Keep secrets of privileged accounts, show them, and check them out.")},
)
