"""Why files that changed cannot be used, in words for an administrator. It promises no reason that tells of secrets."""

from rppam.kernel.errors import RppamError


def why_not(error: Exception) -> str:
    """A sentence of ours as it is; of anything else what it says, and what helps where the host is short of things."""
    if isinstance(error, RppamError):
        return str(error)
    return (
        f"expected to read what changed, found: {type(error).__name__}: {error}. It is tried again at the next look; "
        "where threads or files run short, raise the service's limits (TasksMax, LimitNOFILE)"
    )
