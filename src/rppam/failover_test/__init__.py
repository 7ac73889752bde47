"""The failover test: the five promises of a cluster, proven on the live one; and the tests that were run."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="failover-test",
    package=__name__,
    tables="tables",
    migrations="migrations",
    actions="events:ACTIONS",
    wire="wiring:wire",
    leader_tasks="wiring:leader_tasks",
    routes=("api:failover_tests",),
    settings=("policy:ALLOWED", "schedule:SCHEDULE"),
    commands={
        "failover-test": Command("cli", "Prove on the live cluster that it keeps its five promises."),
        "failover-report": Command("report_command", "Show a report of a failover test, and verify it."),
    },
)
