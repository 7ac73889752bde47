"""Who may do what, and the middleware that asks."""

from rppam.kernel.slice import Slice

SLICE = Slice(
    name="rbac",
    package=__name__,
    public=("policy",),
)
