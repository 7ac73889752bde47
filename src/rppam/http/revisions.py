"""Revisions as entity tags: with ``If-Match``, which is optional, no change overwrites one that its author has not
seen; with ``If-None-Match`` what its reader has already is not sent again.

A route takes ``If-Match`` by a parameter of the type :data:`Expected`; what its store makes of it is decided in the
transaction of the change (:mod:`rppam.ledger.precondition`).
"""

import re
from typing import Annotated, Final

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from rppam.http.errors import FieldFlaw, InvalidRequestError

CHANGES: Final = frozenset({"PUT", "PATCH", "DELETE"})
"""Methods that change what stands."""
_TAG: Final = r'(W/)?"([!#-~]*)"'
_TAGS: Final = re.compile(rf"{_TAG}(?:[ \t]*,[ \t]*{_TAG})*")
TAGS_PATTERN: Final = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'
"""The same and ``*``, for the OpenAPI document."""
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


def has_already(request: Request, etag: str) -> bool:
    """Whether ``If-None-Match`` names the tag: compared weakly (RFC 9110, section 13.1.2); what is no list of tags
    names none."""
    text = ",".join(request.headers.getlist("if-none-match")).strip(" \t")
    named = re.findall(_TAG, text) if _TAGS.fullmatch(text) else []
    return text == "*" or etag.removeprefix("W/").strip('"') in {opaque for _, opaque in named}


def tag_of(revision: int) -> str:
    """The entity tag of a revision."""
    return f'"{revision}"'


def unchanged(request: Request, revision: int) -> Response | None:
    """The answer 304, where the reader has this revision; else ``None``."""
    if not has_already(request, tag_of(revision)):
        return None
    return Response(status_code=304, headers={"ETag": tag_of(revision)})


def tagged(response: Response, revision: int) -> None:
    """Give the answer the entity tag of its revision."""
    response.headers["ETag"] = tag_of(revision)


def takes_if_match(route: APIRoute) -> bool:
    """Whether a route does what ``If-Match`` asks of it."""
    return any(one.call is _expected for one in route.dependant.dependencies)


async def _expected(request: Request) -> list[int] | None:
    return revisions_in(request.headers.getlist("if-match"))


Expected = Annotated[list[int] | None, Depends(_expected)]
"""What ``If-Match`` names."""
