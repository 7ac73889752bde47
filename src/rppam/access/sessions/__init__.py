"""Sessions: somebody signed in, from when until when, and what ends it."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="sessions",
    package=__name__,
    routes=("api:sessions",),
    settings=("policy:SESSIONS",),
)
