"""The second factor."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="mfa",
    package=__name__,
    public=("errors", "model", "policy", "service", "store"),
    wire="wiring:wire",
    routes=("api:mfa",),
    settings=("policy:MFA",),
)
