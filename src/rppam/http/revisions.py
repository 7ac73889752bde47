"""Revisions as entity tags: with ``If-Match``, which is optional, no change overwrites one that its author has not
seen."""

import re
from typing import Annotated, Final

from fastapi import Depends, Request

from rppam.http.errors import FieldFlaw, InvalidRequestError

_TAG: Final = r'(W/)?"([!#-~]*)"'
_TAGS: Final = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
_REVISION: Final = re.compile(r"0|[1-9][0-9]{0,15}")


def revisions_in(headers: list[str]) -> list[int] | None:
    """The revisions that ``If-Match`` lets a write replace; ``None``: any. Raises :class:`InvalidRequestError`.

    A tag that is none of ours, or a weak one, matches nothing (RFC 9110, section 13.1.1).
    """
    text = ",".join(headers).strip(" \t")
    if not headers or text == "*":
        return None
    if _TAGS.fullmatch(text) is None:
        message = 'expected * or entity tags in quotes, such as "7"'
        raise InvalidRequestError([FieldFlaw("header.If-Match", message, "malformed")])
    return [int(opaque) for weak, opaque in re.findall(_TAG, text) if not weak and _REVISION.fullmatch(opaque)]


async def _expected(request: Request) -> list[int] | None:
    return revisions_in(request.headers.getlist("if-match"))


Expected = Annotated[list[int] | None, Depends(_expected)]
"""What ``If-Match`` names."""
