"""A watch goes on when its token or its stream is over, and shows nothing twice."""

import json
from collections.abc import Iterator

from rppam.gateway.watching import watched


def event(name: str, **data: str) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


EXPIRED = event("end", reason="access", detail="RPPAM-6001: a valid access token is needed")
TIME = event("end", reason="time", detail="the longest time of a stream is over; open another")


def seen(*streams: tuple[bytes, ...]) -> tuple[str, str, int]:
    """What was shown, why it ended, and how many streams are left."""
    left: list[tuple[bytes, ...]] = list(streams)
    shown: list[str] = []

    def opened() -> Iterator[bytes]:
        return iter(left.pop(0))

    why = watched(opened, shown.append)
    return "".join(shown), why, len(left)


def test_what_was_shown_is_passed_over_however_it_is_cut() -> None:
    first = event("begin"), event("o", text="abc"), event("r", size="80x24"), event("o", text="de"), EXPIRED
    second = event("o", text="ab"), event("o", text="cdef"), event("o", text="g"), TIME
    third = event("o", text="abcdefgh"), event("over")
    assert seen(first, second, third) == ("abcdefgh", "", 0)


def test_an_event_may_come_in_pieces() -> None:
    whole = event("o", text="größe") + event("over")
    assert seen(tuple(whole[place : place + 1] for place in range(len(whole)))) == ("größe", "", 0)


def test_what_no_fresh_token_helps_against_ends_it() -> None:
    taken = event("end", reason="access", detail="RPPAM-6201: this needs the role pam_auditor")
    assert seen((event("o", text="a"), taken), ()) == ("a", "RPPAM-6201: this needs the role pam_auditor", 1)
    leaving = "the node is shutting down; open the stream at another one"
    assert seen((event("end", reason="shutdown", detail=leaving),), ()) == ("", leaving, 1)


def test_a_stream_that_breaks_off_is_not_over() -> None:
    assert seen((event("o", text="a"),)) == ("a", "the stream ended in the middle", 0)
