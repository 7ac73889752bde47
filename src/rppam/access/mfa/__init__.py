"""The second factor."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="mfa",
    package=__name__,
    routes=("api:mfa",),
    settings=("policy:MFA",),
)
