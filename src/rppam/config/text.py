"""Bytes of a config file into a JSON tree that hides nothing: a key written twice is a problem, not a choice.

Errors name line and column and never quote the line: it may hold a password. What it does not promise: comments,
trailing commas or other extensions of JSON (RFC 8259).
"""

import json
import re
from collections import Counter
from typing import Any, Final, NoReturn

from rppam.config.errors import ConfigFileError, ConfigValueError, Problem
from rppam.config.wording import key_name, type_of

BYTES_MAX: Final = 1024 * 1024
UNICODE_TEXT: Final = "Unicode text"
"""What is expected where half of a character was found."""
_UTF8_BOM: Final = b"\xef\xbb\xbf"
_IN_WORDS: Final = {"Unterminated string starting at": "a text without a closing quote, which begins"}
_OTHER_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
_SIGNS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
"""A text as a whole, or a bracket outside of texts."""
_HALF: Final = re.compile("[\ud800-\udfff]")


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys came twice."""

    repeated: tuple[str, ...] = ()


def read_tree(data: bytes, place: str, problems: list[Problem] | None = None) -> dict[str, Any]:
    """The object in ``data``. ``place`` names the file in errors.

    Keys that are written twice and texts that are not Unicode are added to ``problems``, so that the caller can report
    them with its own; of such a key the last value is in the result, and such a text is made readable. Without
    ``problems`` they raise :class:`ConfigValueError`. Raises :class:`ConfigFileError` for anything but one JSON object
    in UTF-8.
    """
    text = _decoded(data, place)
    try:
        tree = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        found_here: list[Problem] = []
        tree = _looked_through(tree, "", found_here)
    except json.JSONDecodeError as error:
        if (left := _left_open(text, error)) is not None:
            raise ConfigFileError.of(place, "JSON", *left) from None
        said = _IN_WORDS.get(error.msg, error.msg)
        found = f"{said} at line {error.lineno}, column {error.colno}"
        raise ConfigFileError.of(place, "JSON", found, _hint(text, error)) from None
    except (RecursionError, ValueError) as error:
        found = "objects nested too deep" if isinstance(error, RecursionError) else f"a number JSON has not ({error})"
        found = found if len(found) <= 100 else "a number that is too long"
        raise ConfigFileError.of(place, "JSON", found, "Write what docs/reference/config.md shows.") from None
    if not isinstance(tree, dict):
        fix = "Write the sections inside { and }."
        raise ConfigFileError.of(place, "one JSON object", type_of(tree), fix)
    if problems is not None:
        problems += found_here
    elif found_here:
        raise ConfigValueError(found_here)
    return tree


def _decoded(data: bytes, place: str) -> str:
    if len(data) > BYTES_MAX:
        found = "more than that"
        raise ConfigFileError.of(
            place, f"at most {BYTES_MAX} bytes", found, "This is not an rppam.config; check the path."
        )
    if data.startswith(_OTHER_BOMS):
        raise ConfigFileError.of(place, "UTF-8", "UTF-16", "Save the file as UTF-8.")
    try:
        text = data.removeprefix(_UTF8_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"bytes that are not UTF-8 in line {line}"
        raise ConfigFileError.of(place, "UTF-8", found, "Save the file as UTF-8.") from None
    if not text.strip():
        raise ConfigFileError.of(place, "a JSON object", "an empty file", "Write at least {}, or run `rppam init`.")
    return text


def _left_open(text: str, error: json.JSONDecodeError) -> tuple[str, str] | None:
    """What was found, and the fix, where the file ends too early; ``None`` where it does not."""
    if error.pos < len(text.rstrip()):
        return None
    opened: list[int] = []
    for sign in _SIGNS.finditer(text):
        if sign[0] in "{[":
            opened.append(sign.start())
        elif sign[0] in "}]" and opened:
            opened.pop()
    if not opened:
        return None
    start = opened[-1]
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    what, end = ("object", "}") if text[start] == "{" else ("list", "]")
    fix = f"Write the missing {end}, or the rest of the file, if it was cut off."
    return f"the end of the file before the {what} that begins at line {line}, column {column} is closed", fix


def _hint(text: str, error: json.JSONDecodeError) -> str:
    """What is most likely wrong there."""
    here = text[error.pos : error.pos + 2]
    before = text[: error.pos].rstrip()[-1:]
    if "Unterminated string" in error.msg:
        return 'Write the missing ".'
    if "Extra data" in error.msg:
        return "Take away what follows the closing }."
    if here[:1] == "#" or here in {"//", "/*"}:
        return "JSON has no comments; take them out."
    if here[:1] in {"}", "]"} or (before == "," and here[:1] == '"'):
        return "Look for a comma too many or a missing value just before."
    if here[:1] == "'":
        return 'Write texts and keys in double quotes: ".'
    if "Invalid \\escape" in error.msg:
        return "Write a backslash in a text as two: \\\\."
    if "Expecting ',' delimiter" in error.msg:
        return "Look for a missing comma just before."
    return "Put it right there or just before."


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) != len(pairs):
        times = Counter(key for key, _ in pairs)
        made.repeated = tuple(key for key, count in times.items() if count > 1)
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _looked_through(value: Any, path: str, problems: list[Problem]) -> Any:
    """The same, with texts that are not Unicode made readable; those and repeated keys are added to ``problems``."""
    if isinstance(value, dict):
        for key in getattr(value, "repeated", ()):
            fix = "Keep one of them."
            problems.append(Problem(_join(path, key), "each key once", "the key more than once", fix))
        return {key: _looked_through(below, _join(path, key), problems) for key, below in value.items()}
    if isinstance(value, list):
        return [_looked_through(below, f"{path}[{number}]", problems) for number, below in enumerate(value)]
    if isinstance(value, str) and _HALF.search(value):
        problems.append(Problem(path, UNICODE_TEXT, "half of a surrogate pair", "Write both halves, or neither."))
        return _HALF.sub("\N{REPLACEMENT CHARACTER}", value)
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key_name(key)}" if path else key_name(key)
