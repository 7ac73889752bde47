"""Static files of a slice: read once from its package, served from memory, under names that hold their content's hash.

A page is served at its own path and asked for again each time, with an ETag. What it refers to as ``asset:NAME`` is
served at ``/static/SLICE/NAME.HASH.SUFFIX``, which never changes and may be kept for ever. Each file is a route of its
own, so nothing but these files can be reached, whatever the path says. Public: a page holds nothing but what is in the
package, and fetches everything else with the caller's own rights. A page may have a plain text beside it, ``page.txt``
for ``page.html``, which those get who take no HTML.
"""

import gzip
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

from fastapi import APIRouter, Request, Response

from rppam.http.revisions import has_already
from rppam.http.routes import ANYBODY, declare

SIZE_MAX: Final = 4 * 1024 * 1024
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_PACKED: Final = frozenset({".css", ".html", ".js", ".svg"})
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*\.[a-z0-9]+")
_ASSET: Final = re.compile(rb"asset:([a-z0-9_-]+\.[a-z0-9]+)")
_INLINE: Final = re.compile(rb"<style|<script(?![^>]*\ssrc=)|\sstyle\s*=|\son[a-z]+\s*=|javascript:", re.IGNORECASE)
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types "
)
_HEADERS: Final = {
    "Content-Security-Policy": f"{_POLICY}'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}
"""Beside those that every answer carries."""

_Handler = Callable[[Request], Awaitable[Response]]


class StaticFileError(ValueError):
    """A file that cannot be served. A mistake in the package: it does not start."""


def static_router(package: str, folder: str, slice_name: str, pages: Mapping[str, str]) -> APIRouter:
    """Routes for the files in ``folder`` of ``package``. ``pages``: the path of each page, and its file.

    Raises :class:`StaticFileError` naming the file.
    """
    found = {one.name: one.read_bytes() for one in files(package).joinpath(folder).iterdir() if one.is_file()}
    for name, content in found.items():
        _check(name, content)
    router = APIRouter(include_in_schema=False)
    texts = {name: str(PurePosixPath(name).with_suffix(".txt")) for name in pages.values()}
    assets = {name: content for name, content in found.items() if name not in {*texts, *texts.values()}}
    # What is referred to first: a style sheet names its fonts, and its hash has to change with theirs.
    paths: dict[str, str] = {}
    for name in sorted(assets, key=lambda one: (one.endswith((".css", ".js")), one.endswith(".js"), one)):
        content = _referring(name, assets[name], paths)
        one = PurePosixPath(name)
        paths[name] = f"/static/{slice_name}/{one.stem}.{hashlib.sha256(content).hexdigest()[:16]}{one.suffix}"
        _add(router, paths[name], one.suffix, content, "public, max-age=31536000, immutable")
    for path, name in pages.items():
        if name not in found:
            raise StaticFileError(f"the page {path} is to be {name}, which {package}/{folder} does not hold")
        text = found.get(texts[name])
        _add(router, path, PurePosixPath(name).suffix, _referring(name, found[name], paths), "no-cache", text=text)
    return router


def bundle_router(
    package: str, folder: str, slice_name: str, pages: Iterable[str], page: str, trusted_types: Iterable[str]
) -> tuple[APIRouter, str]:
    """Routes for a built application: files that load each other by relative paths, in all orders.

    All stand below one path that holds the hash of them all; ``page``, served at each of ``pages``, refers to them as
    ``asset:NAME``, and to that hash, the second answer, as ``asset:build.hash``. ``trusted_types`` names the policies
    by which its scripts may make markup. Raises :class:`StaticFileError` naming the file.
    """
    found = {one.name: one.read_bytes() for one in files(package).joinpath(folder).iterdir() if one.is_file()}
    whole = hashlib.sha256()
    for name in sorted(found):
        _check(name, found[name])
        whole.update(f"{name}\0{len(found[name])}\0".encode() + found[name])
    build = whole.hexdigest()[:16]
    headers = {**_HEADERS, "Content-Security-Policy": _POLICY + " ".join(trusted_types)}
    router = APIRouter(include_in_schema=False)
    paths = {name: f"/static/{slice_name}/{build}/{name}" for name in found if name != page}
    for name, path in paths.items():
        _add(router, path, PurePosixPath(name).suffix, found[name], "public, max-age=31536000, immutable", headers)
    if page not in found:
        raise StaticFileError(f"the page is to be {page}, which {package}/{folder} does not hold")
    content = _referring(page, found[page], {**paths, "build.hash": build})
    for path in pages:
        _add(router, path, PurePosixPath(page).suffix, content, "no-cache", headers)
    return router, build


def _check(name: str, content: bytes) -> None:
    suffix = PurePosixPath(name).suffix
    if _NAME.fullmatch(name) is None or suffix not in _TYPES:
        raise StaticFileError(f"{name!r}: expected a name such as page.css, with one of {', '.join(_TYPES)}")
    if len(content) > SIZE_MAX:
        raise StaticFileError(f"{name}: {len(content)} bytes, at most {SIZE_MAX}")
    if suffix in {".html", ".svg"} and (inline := _INLINE.search(content)):
        raise StaticFileError(
            f"{name}: {inline[0].decode('latin-1').strip()!r} at byte {inline.start()} is inline script or style, "
            "which the Content-Security-Policy forbids; put it into a file"
        )


def _referring(name: str, content: bytes, paths: Mapping[str, str]) -> bytes:
    """``content`` with the path of each asset in the place of its name."""

    def path_of(match: re.Match[bytes]) -> bytes:
        found = paths.get(match[1].decode("ascii"))
        if found is None:
            raise StaticFileError(f"{name} refers to {match[0].decode('ascii')}, and there is no such file before it")
        return found.encode("ascii")

    return _ASSET.sub(path_of, content)


def _add(
    router: APIRouter,
    path: str,
    suffix: str,
    content: bytes,
    kept: str,
    headers: Mapping[str, str] = _HEADERS,
    *,
    text: bytes | None = None,
) -> None:
    if text is None:
        served = _served(content, suffix, kept, headers)
    else:
        headers = {**headers, "Vary": "Accept, Accept-Encoding"}
        served = _either(_served(content, suffix, kept, headers), _served(text, ".txt", kept, headers))
    router.get(path, response_model=None)(declare(ANYBODY)(served))


def _either(page: _Handler, text: _Handler) -> _Handler:
    """The text for those who take no HTML."""

    async def page_or_text(request: Request) -> Response:
        return await (page if takes_html(request.headers.get("accept", "")) else text)(request)

    return page_or_text


def _served(content: bytes, suffix: str, kept: str, headers: Mapping[str, str]) -> _Handler:
    @cache
    def packed() -> bytes:
        """Made when first asked for: a start must not wait for what nobody may want."""
        return gzip.compress(content, 9, mtime=0) if suffix in _PACKED else content

    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    plain_headers = {**headers, "Content-Type": _TYPES[suffix], "Cache-Control": kept, "ETag": etag}
    packed_headers = {**plain_headers, "Content-Encoding": "gzip", "ETag": f'{etag[:-1]}-gzip"'}

    async def static_file(request: Request) -> Response:
        takes_packed = takes_gzip(request.headers.get("accept-encoding", "")) and len(packed()) < len(content)
        headers = packed_headers if takes_packed else plain_headers
        if has_already(request, headers["ETag"]):
            unneeded = {"Content-Type", "Content-Encoding"}
            return Response(status_code=304, headers={k: v for k, v in headers.items() if k not in unneeded})
        return Response(packed() if takes_packed else content, headers=headers)

    return static_file


def takes_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` takes it."""
    return _takes(accepted, ("gzip", "*"))


def takes_html(accepted: str) -> bool:
    """Whether an ``Accept`` takes it; without one everything is taken (RFC 9110, section 12.5.1)."""
    return not accepted.strip() or _takes(accepted, ("text/html", "text/*", "*/*"))


def _takes(accepted: str, names: tuple[str, ...]) -> bool:
    """By the first of ``names`` that stands there: the more exact one counts."""
    asked = {}
    for one in accepted.split(","):
        name, *parameters = (part.strip().lower() for part in one.split(";"))
        asked[name] = not any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return next((asked[name] for name in names if name in asked), False)
