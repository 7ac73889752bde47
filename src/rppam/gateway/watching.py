"""Watching a session from a command for as long as it goes on, which is longer than a token or a stream lasts.

A stream of a recording begins anew at its first byte. So where one ended because its token or its time was over, the
next one is opened with a fresh token, and what was shown is passed over. What it does not promise: to go on where a
token cannot be made anew, as one that was given in a file; the node refuses it then, and says why.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

Event = tuple[str, Mapping[str, Any]]
EXPIRED: Final = "RPPAM-6001"


def watched(opened: Callable[[], Iterable[bytes]], show: Callable[[str], None]) -> str:
    """Show what comes until it is over; why it ended before, or empty. ``opened`` raises what it raises."""
    shown = 0
    while True:
        past, why = 0, "the stream ended in the middle"
        for name, data in events(opened()):
            if name == "o":
                text = data["text"][max(0, shown - past) :]
                past += len(data["text"])
                if text:
                    show(text)
                    shown = past
            elif name == "over":
                return ""
            elif name == "end":
                why = str(data["detail"])
                if data["reason"] == "time" or (data["reason"] == "access" and why.startswith(EXPIRED)):
                    break
        else:
            return why


def events(found: Iterable[bytes]) -> Iterator[Event]:
    """Names and data of server-sent events."""
    rest, name = b"", ""
    for piece in found:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            word, _, value = line.decode().partition(": ")
            if word == "event":
                name = value
            elif word == "data":
                yield name, json.loads(value)
