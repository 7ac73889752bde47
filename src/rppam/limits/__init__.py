"""How often something may happen: counted in Redis for all nodes, in SQL, or by one process alone."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="limits",
    package=__name__,
    settings=("policy:LIMITS",),
)
