"""Call listeners without letting their errors through."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def tell(listener: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call ``listener`` now. Its exceptions go to the loop's exception handler: they must not cost the connection."""
    try:
        listener(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - not our code; reported, not swallowed
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"a listener on the Redis connection failed: {listener!r}", "exception": error}
        )
