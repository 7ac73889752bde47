"""``redis://``, ``rediss://`` and ``redis+sentinel://`` URLs, as another way to write a connection string.

::

    redis[s]://[[user]:password@]host[:port][,host[:port]...][/database][?option=value&...]
    redis[s]+sentinel://[[user]:password@]host[:port][,...]/serviceName[/database][?option=value&...]

``rediss`` means TLS. Options after ``?`` are those of the connection string. Everything but hosts is percent-decoded,
strictly: a lone ``%`` or bytes that are not UTF-8 are problems. A URL cut at the wrong place shows parts of its
password, so no message quotes one.
"""

import re
from typing import Final

from rppam.config.keywords import BY_LOWER_NAME, KEYWORDS
from rppam.config.reading import Reading
from rppam.config.wording import nearest, unprintable

_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODE_FIX: Final = "Percent-encode these in user and password: %25 for %, %2F for /, %3F for ?, %23 for #, %40 for @."

_BEFORE_QUERY: Final = ("password", "user", "serviceName", "defaultDatabase")
"""Options that a URL can give before its '?', too."""

SCHEMES: Final[dict[str, tuple[bool, bool]]] = {
    "redis": (False, False),
    "rediss": (True, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
"""Whether each scheme means TLS, and whether its hosts are sentinels."""


def looks_like_url(text: str) -> bool:
    """Return whether ``text`` begins like a URL. No connection string does."""
    return _SCHEME.match(text) is not None


def read_url(text: str, reading: Reading) -> None:
    """Take everything the URL says into ``reading``."""
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    reading.endpoint_expected = False
    bad = unprintable(rest)
    if bad is not None:
        reading.problem("URL", "printable text", bad, "Percent-encode it.")
        return
    if scheme not in SCHEMES:
        near = nearest(scheme, SCHEMES)
        fix = f"Did you mean {near}://?" if near else "Use one of these, or host:port with options."
        expected = ", ".join(f"{known}://" for known in SCHEMES)
        reading.problem("URL", expected, f"{scheme[:20]}://", fix)
        return
    tls, sentinel = SCHEMES[scheme]
    if tls:
        reading.option(KEYWORDS["ssl"], "true")
    if "#" in rest:
        reading.problem("URL", "no '#'", "'#'", _ENCODE_FIX)
        return
    address, _, query = rest.partition("?")
    authority, _, path = address.partition("/")
    if "@" in path or "@" in query:
        reading.problem("URL", "no '@' behind the host", "'@'", _ENCODE_FIX)
        return
    reading.endpoint_expected = True
    _credentials(authority, reading)
    for number, host in enumerate(authority.rpartition("@")[2].split(","), 1):
        if host.strip():
            _host(host.strip(), number, reading)
    _path(path, sentinel, reading)
    before = frozenset(name for name in _BEFORE_QUERY if reading.has(name))
    _query(query, tls, reading, before)


def _host(host: str, number: int, reading: Reading) -> None:
    place = f"URL host {number}"
    if not host.startswith("[") and host.count(":") > 1:
        found = "a host with more than one colon and no brackets"
        reading.no_endpoint(place, found, "Write an IPv6 address in brackets: [::1]:6379.")
    elif "=" in host:
        reading.no_endpoint(place, "an option among the hosts", "Options of a URL go behind a '?'.")
    else:
        reading.endpoint(host.replace("%25", "%") if host.startswith("[") else host, place)


def _credentials(authority: str, reading: Reading) -> None:
    credentials, at, _ = authority.rpartition("@")
    if not at:
        return
    user, colon, password = credentials.partition(":")
    if not colon:
        found = "a word without a colon before the '@'; it is not shown, since it may be a password"
        reading.problem("URL", "user:password@ or :password@", found, "Write :password@ when there is no user.")
        return
    _text("user", user, reading)
    _text("password", password, reading)


def _path(path: str, sentinel: bool, reading: Reading) -> None:
    parts = path.split("/") if path else []
    if parts and not parts[-1]:
        parts.pop()
    if sentinel:
        service = parts.pop(0) if parts else ""
        if not service:
            fix = "Write the name of the primary behind the hosts: redis+sentinel://host:26379/name."
            reading.problem("URL", "/serviceName", "none", fix)
        _text("serviceName", service, reading)
    if len(parts) > 1:
        expected = "/serviceName[/database]" if sentinel else "[/database]"
        reading.problem("URL", expected, "more parts behind a '/'", _ENCODE_FIX)
    elif parts:
        reading.option(KEYWORDS["defaultDatabase"], parts[0])


def _query(query: str, tls: bool, reading: Reading, before: frozenset[str]) -> None:
    """Take the options; ``before`` holds those that the URL gave before its '?'."""
    for number, part in enumerate(query.split("&") if query else [], 1):
        name, _, value = part.partition("=")
        keyword = BY_LOWER_NAME.get(name.lower())
        place = f"URL option {number}"
        if not part:
            continue
        if name.startswith("$"):
            reading.command(name, value)
        elif keyword is None:
            reading.unknown(name, place)
        elif keyword.name in before:
            fix = "Say it once, before the '?' or behind it."
            reading.problem(keyword.name, "one value", "one in the URL and one among its options", fix)
        elif keyword.name == "ssl" and tls:
            reading.problem("ssl", "no ssl option with rediss://", "both", "Take ssl out.")
        else:
            _text(keyword.name, value, reading)


def _text(name: str, encoded: str, reading: Reading) -> None:
    """Take one percent-encoded option."""
    if _ESCAPE.search(encoded):
        reading.problem(name, "'%' only before two hexadecimal digits", "a lone '%'", "Write %25 for a '%'.")
        return
    try:
        text = _decoded(encoded)
    except UnicodeDecodeError:
        reading.problem(name, "UTF-8 behind the percent signs", "other bytes", "Percent-encode the UTF-8 bytes.")
        return
    reading.option(KEYWORDS[name], text)


def _decoded(encoded: str) -> str:
    """Percent-decoding without surprises: '+' stays '+', and what is not UTF-8 raises."""
    raw = re.sub(
        rb"%([0-9A-Fa-f]{2})", lambda escape: bytes.fromhex(escape[1].decode("ascii")), encoded.encode("utf-8")
    )
    return raw.decode("utf-8")
