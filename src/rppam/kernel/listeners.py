"""Tell others, without their mistakes becoming ours."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


def tell(listener: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call ``listener`` now. What it raises goes to the loop's exception handler: it must not cost the connection."""
    try:
        listener(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - a stranger's code, reported and not swallowed
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"a listener on the Redis connection failed: {listener!r}", "exception": error}
        )
