"""Connection options back into text and JSON. Secrets are ``********`` unless asked for.

``parse(format(options)) == options`` whenever :func:`format_connection` gives a string. It refuses what the grammar
cannot hold (commas, outer blanks, control characters in a value), since there is no way to quote them.
"""

from operator import attrgetter
from typing import Any

from rppam.config.errors import ConnectionStringError, Problem
from rppam.config.keywords import ENCRYPTED, KEYWORDS
from rppam.config.options import ATTRIBUTES, ConnectionOptions
from rppam.config.wording import unprintable
from rppam.kernel.secret import REDACTED, Secret


def format_connection(options: ConnectionOptions, *, show_secrets: bool = False) -> str:
    """The string in StackExchange.Redis's grammar: endpoints with ports, then what differs from the defaults.

    With ``show_secrets`` it is complete, and raises :class:`ConnectionStringError` where the grammar cannot hold a
    value. Without, every secret is ``********``, and nothing is refused: the text is for people to read.
    """
    parts = [str(endpoint) for endpoint in options.endpoints]
    parts += [f"{name}={value}" for name, value in _pairs(options, show_secrets=show_secrets)]
    if show_secrets:
        problems = [problem for name, value in _pairs(options, show_secrets=True) for problem in _misfits(name, value)]
        if problems:
            raise ConnectionStringError(problems)
    return ",".join(parts)


def as_json(options: ConnectionOptions, *, show_secrets: bool = False) -> dict[str, Any]:
    """What was understood, with the keys of the string; absent values are ``None``."""
    said = {
        name: _plain(attrgetter(attribute)(options), show_secrets=show_secrets)
        for name, attribute in ATTRIBUTES.items()
    }
    return {
        "mode": options.mode,
        "endpoints": [str(endpoint) for endpoint in options.endpoints],
        **said,
        "commandMap": dict(options.command_map),
        "ignored": [{"option": ignored.option, "reason": ignored.reason} for ignored in options.ignored],
    }


def _plain(value: object, *, show_secrets: bool) -> object:
    return (value.reveal() if show_secrets else REDACTED) if isinstance(value, Secret) else value


def _pairs(options: ConnectionOptions, *, show_secrets: bool) -> list[tuple[str, str]]:
    """Each option that differs from its default, in the order it is written."""
    default = ConnectionOptions(endpoints=options.endpoints)
    # Before the passwords: what stands right behind one may have to be taken for its rest.
    pairs = [(f"${command}", name) for command, name in options.command_map]
    for name, attribute in ATTRIBUTES.items():
        value = attrgetter(attribute)(options)
        if value != attrgetter(attribute)(default):
            text = str(_plain(value, show_secrets=show_secrets))
            pairs.append((name, text.lower() if isinstance(value, bool) else text))
    for ignored in options.ignored:
        hidden = KEYWORDS[ignored.option].secret and not show_secrets
        pairs.append((ignored.option, REDACTED if hidden else ignored.value.reveal()))
    return pairs


def _misfits(name: str, value: str) -> list[Problem]:
    """Why the grammar cannot hold this value, if it cannot."""
    if "," in value:
        found = "a comma in it, which would end the value"
    elif value != value.strip():
        found = "a blank at an end of it, which would be cut off"
    elif unprintable(value) is not None:
        found = "a control character in it"
    elif name in KEYWORDS and KEYWORDS[name].setting and value.startswith(ENCRYPTED):
        found = "a beginning that only encrypted values have"
    else:
        return []
    beside = KEYWORDS[name].setting if name in KEYWORDS else ""
    fix = f"Set {beside} beside the string." if beside else "Use a redis:// URL with percent-encoding."
    return [Problem(name, "a value that the string form can hold", found, fix)]
