"""Redis connection strings: ``10.0.1.20:6379,password=...,ssl=false,abortConnect=false``.

The grammar is StackExchange.Redis's: tokens between commas, trimmed, empty ones skipped; a token with ``=`` after its
first character is an option (the name before the first ``=``, case-insensitive, the last repeat wins, and
:mod:`rppam.config.remarks` says so), any other is an
endpoint. URLs (:mod:`rppam.config.url`) say the same in another form.

Stricter where silence hurts: unknown options, bad ports, units in numbers, zero and negative times, no endpoint. All
problems of a string are reported together. The grammar has no quoting, so a password with a comma cannot be written:
its rest would be taken for a host name or an option. Where the text behind a password could be such a rest, it is
refused and never shown. What cannot be found: a rest that reads like a valid option or ``host:port``.
"""

import re
from typing import Final

from rppam.config.endpoint import NotAnEndpointError, parse_endpoint
from rppam.config.errors import ConnectionStringError
from rppam.config.keywords import BY_LOWER_NAME, KEYWORDS, Keyword, is_command
from rppam.config.options import ConnectionOptions
from rppam.config.reading import Reading, suggestion
from rppam.config.url import looks_like_url, read_url
from rppam.config.wording import unprintable
from rppam.kernel.network import is_address

LENGTH_MAX: Final = 65_536
"""Characters. Far beyond any real string; it bounds the work on a wrong file."""

_ENDPOINTS_FIRST: Final = "otherwise write endpoints as host:port before the options."


def parse_connection(text: str, *, tls: bool | None = None) -> ConnectionOptions:
    """What ``text`` says, with the defaults filled in.

    ``tls`` is the setting ``redis.tlsEnabled`` where it is set; a string that contradicts it is wrong. Raises
    :class:`ConnectionStringError` with every problem; no message holds a secret.
    """
    reading = Reading()
    if not text.strip():
        raise ConnectionStringError.of(
            "", "host:port and options", "an empty text", "Begin with host:port, such as 10.0.1.20:6379."
        )
    if len(text) > LENGTH_MAX:
        found = f"{len(text)} characters"
        raise ConnectionStringError.of("", f"at most {LENGTH_MAX} characters", found, "Shorten it.")
    if looks_like_url(text):
        read_url(text.strip(), reading)
    else:
        _read_tokens(text, reading)
    return reading.options(tls)


def _read_tokens(text: str, reading: Reading) -> None:
    secret: Keyword | None = None
    """The option whose value was cut at a comma, if this token may be the rest of one."""
    for number, part in enumerate(text.split(","), 1):
        token = part.strip()
        if not token:
            continue
        name, equals, value = (piece.strip() for piece in token.partition("="))
        keyword = BY_LOWER_NAME.get(name.lower()) if equals else None
        if keyword is not None:
            is_right = reading.option(keyword, value, behind=_comma_fix(secret) if secret else "")
            if keyword.secret or is_right:
                secret = keyword if keyword.secret else None
        elif (colon := _with_colon(token)) is not None:
            fix = f"Write {colon.name}=... with '=', behind host:port."
            reading.no_endpoint(f"part {number}", f"a ':' behind {colon.name}; what follows is not shown", fix)
            secret = colon
        elif (bad := unprintable(token)) is not None:
            reading.endpoint_expected = False
            reading.problem(f"part {number}", "printable text", bad, "Take it out.")
        elif name.startswith("$") and equals:
            if secret and not is_command(name[1:].strip()):
                found = "a '$' and no command of Redis after the password; it is not shown"
                reading.problem(f"part {number}", "a known option", found, _comma_fix(secret))
            else:
                reading.command(name, value)
        elif token.startswith("="):
            fix = _comma_fix(secret) if secret else "Write name=value."
            reading.problem(f"part {number}", "name=value", "'=' without a name", fix)
        elif equals:
            secret = _unknown(name, number, reading, secret)
        elif secret:
            _behind_secret(token, number, reading, secret)
        elif reading.has_endpoint and (bare := BY_LOWER_NAME.get(token.lower())) is not None:
            fix = f"Write {bare.name}=...; a host of this name is given with its port, {token}:6379."
            reading.no_endpoint(f"part {number}", f"{token!r}, an option without '=' and a value", fix)
        else:
            reading.endpoint(token, f"part {number}")


def _with_colon(token: str) -> Keyword | None:
    """The secret option that ``token`` gives with a colon for the equals sign."""
    word, colon, _ = token.partition(":")
    word = word.strip()
    if not colon:
        return None
    keyword = BY_LOWER_NAME.get(word.lower())
    if keyword is not None and keyword.setting:
        return keyword
    near = suggestion(word)
    if near is None or not near.secret:
        return None
    try:  # a host may have a name that others give to passwords
        parse_endpoint(token)
    except NotAnEndpointError:
        return near
    return None


def _comma_fix(secret: Keyword) -> str:
    """What to do when the value of ``secret`` has a comma in it."""
    if not secret.setting:
        return f"If the value of {secret.name} has a comma, take it out: it has no effect here; {_ENDPOINTS_FIRST}"
    return (
        f"If the password has a comma, this form cannot hold it: take it out and set {secret.setting} "
        f'(plain, encrypted, {{"file": ...}} or {{"env": ...}}); {_ENDPOINTS_FIRST}'
    )


def _unknown(name: str, number: int, reading: Reading, secret: Keyword | None) -> Keyword | None:
    """Record an unknown option; returns the secret that what follows may still be the rest of."""
    if secret is not None:
        reading.behind_secret(name, f"part {number}", _comma_fix(secret))
        return secret
    near = reading.unknown(name, f"part {number}")
    if near is None:
        return KEYWORDS["password"]  # the name may stand for it
    return near if near.secret else None


def _behind_secret(token: str, number: int, reading: Reading, secret: Keyword) -> None:
    """Take an endpoint behind a password only where it cannot reasonably be the password's rest."""
    try:
        host, port = parse_endpoint(token)
    except NotAnEndpointError:
        sure = False
    else:
        first_with_dot = not reading.has_endpoint and re.search(r"[A-Za-z]\.|\.[A-Za-z]", host) is not None
        sure = port is not None or host.lower() == "localhost" or is_address(host) or first_with_dot
    if sure:
        reading.endpoint(token, f"part {number}")
    else:
        found = "a text after the password that is no option and no host:port; it is not shown"
        reading.no_endpoint(f"part {number}", found, _comma_fix(secret))
