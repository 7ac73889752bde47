"""The console: the pages of the product for a browser, live events for them, and acts that happen once."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="console",
    package=__name__,
    tables="tables",
    migrations="migrations",
    wire="wiring:wire",
    routes=("pages:pages", "live:events"),
)
