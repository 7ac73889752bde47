"""What touches targets: a process of its own, which knows no database and no key of the vault.

It reads one request a line from stdin and answers each with one line, until stdin ends; so it ends with the process
that asks. Secrets come through that pipe alone: not by arguments, environment or files. It is a process of its own so
that slow cryptography and a client library that hangs cost nobody the leadership.

What it does not promise: that a change which was broken off has not happened. Whoever asks finds out by logging in.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from rppam.kernel.secret import REDACTED
from rppam.process.private_memory import keep_from_dumps
from rppam.rotation.requests import Answer, Request

TRY_S: Final = 16.0
CHANGE_S: Final = 28.0


async def answer(request: Request) -> Answer:
    """Do what is asked, within its time. What was said holds no secret of the request."""
    doing, bound = ("try", TRY_S) if request.new is None else ("change", CHANGE_S)
    try:
        async with asyncio.timeout(bound):
            came = await _done(request)
    except TimeoutError:
        came = Answer("unknown", f"{request.place} did not finish the {doing} within {bound:g} s")
    except Exception as error:  # noqa: BLE001 - whatever a client library raises, the target's state is not known
        came = Answer("unknown", f"{request.place}: {type(error).__name__}")
    said = " ".join(came.said.split())
    for secret in request.secrets():
        said = said.replace(secret.reveal(), REDACTED)
    return came._replace(said=said[:300])


async def _done(request: Request) -> Answer:
    # Imported where used: a client library takes a second.
    found: Answer = await import_module(f"rppam.rotation.on_{request.kind}").answer(request)
    return found


def main() -> int:
    """Answer until nobody asks any more."""
    keep_from_dumps()
    for line in sys.stdin.buffer:
        found: Mapping[str, Any] = json.loads(line)
        came = asyncio.run(answer(Request.of(found)))
        sys.stdout.buffer.write(json.dumps(came._asdict()).encode() + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
