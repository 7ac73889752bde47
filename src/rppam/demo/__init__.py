"""A whole cluster on one machine, to watch and to break."""

from rppam.kernel.slice import Command, Slice

SLICE = Slice(
    name="demo",
    package=__name__,
    commands={"demo": Command("cli", "Run a whole cluster on this machine and watch it.")},
)
