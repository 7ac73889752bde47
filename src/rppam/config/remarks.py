"""What a connection string says to no effect, or says twice: no error, and most likely not what was meant.

Decides by the options alone; no sentence holds a value. What stands beside the string is the caller's to fill in first.
"""

from collections.abc import Iterator

from rppam.config.options import ConnectionOptions


def remarks(said: ConnectionOptions) -> Iterator[str]:
    """Each a sentence that begins with the name of the option."""
    for name in said.repeated:
        yield f"{name}: stands there with different values, of which the last one counts; keep one of them"
    if said.user is not None and said.password is None:
        yield "user: has no effect without a password, here or as redis.password"
    of_sentinels = {"sentinelUser": said.sentinel_user, "sentinelPassword": said.sentinel_password}
    if said.service_name is None:
        for name in [name for name, value in of_sentinels.items() if value is not None]:
            yield f"{name}: has no effect without serviceName, which makes sentinels of the endpoints"
    elif said.sentinel_user is not None and said.sentinel_password is None:
        yield (
            "sentinelUser: goes to the sentinels with Redis's own password, since no sentinelPassword is given"
            if said.password is not None
            else "sentinelUser: has no effect without sentinelPassword, here or as redis.sentinelPassword"
        )
