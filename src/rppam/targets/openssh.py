"""An OpenSSH config: a block for each target that OpenSSH can reach. Pure.

Reads names, addresses, ports and users of ``Host`` blocks; patterns and ``Match`` are passed over. A name that cannot
be typed after ``ssh`` stands beside one that can, on the same line, and only the first is read again. What a config
does not promise: to say all of a target, see :func:`rppam.targets.formats.left_out`.
"""

import re
from collections.abc import Sequence
from typing import Final

from rppam.targets.wanted import Found, Wanted, WantedAccount

_LINE: Final = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
_TYPED: Final = re.compile(r"[^A-Za-z0-9._-]")
_ESCAPED: Final = frozenset("'\"\\")


def read_config(text: str) -> Found:
    """The targets in a config."""
    found: list[Wanted] = []
    names: list[str] = []
    values: dict[str, str] = {}

    def end() -> None:
        port = values.get("port", "")
        user = values.get("user", "")
        for name in names:
            address = _expanded(values.get("hostname", ""), name)
            accounts = (WantedAccount(user),) if user else ()
            number = int(port) if port.isascii() and port.isdigit() else None
            found.append(Wanted(name, "ssh", address, number, (), accounts))

    for raw in text.split("\n"):
        line = _LINE.fullmatch(raw.strip())
        if line is None:
            continue
        key, words = line[1].lower(), _words(line[2])
        if key in {"host", "match"}:
            end()
            names, values = _names(words) if key == "host" else [], {}
        elif words:
            values.setdefault(key, words[0])
    end()
    return found, []


def write_config(targets: Sequence[Wanted]) -> str:
    """The blocks of those that are reached by SSH."""
    shown = [one for one in targets if one.kind == "ssh"]
    taken = {one.name for one in shown}
    lines: list[str] = []
    for one in shown:
        typed = _typed(one.name)
        names = [one.name] if typed in taken else [one.name, typed]
        taken.add(typed)
        address = (one.address or one.name).replace("%", "%%")
        lines += [f"Host {' '.join(map(_quoted, names))}", f"  HostName {_quoted(address)}"]
        lines += [] if one.port is None else [f"  Port {one.port}"]
        lines += [f"  User {_quoted(one.accounts[0].name)}"] if len(one.accounts) == 1 else []
        lines.append("")
    return "\n".join(lines)


def _names(words: Sequence[str]) -> list[str]:
    """Those of a ``Host`` line that are no patterns, each once."""
    names = [word for word in words if not set(word) & set("*?!")]
    others = {_typed(name) for name in names if _typed(name) != name}
    return [name for name in names if name not in others]


def _typed(name: str) -> str:
    return _TYPED.sub("_", name)


def _expanded(text: str, name: str) -> str:
    return re.sub(r"%[%h]", lambda found: name if found[0] == "%h" else "%", text)


def _quoted(text: str) -> str:
    """As one word of a line."""
    if text and not set(text) & set(" \t\"'#=") and not re.search(r"\\[\\ '\"]", text):
        return text  # in CORP\\root OpenSSH takes the backslash for itself
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _words(text: str) -> list[str]:
    """The words of a line as OpenSSH takes them apart: quotes, and a backslash before what it can escape."""
    words: list[str] = []
    word, quote, is_word = "", "", False
    place = 0
    while place < len(text):
        char = text[place]
        following = text[place + 1 : place + 2]
        if char == "\\" and following and (following in _ESCAPED or (not quote and following == " ")):
            word, is_word, place = word + following, True, place + 1
        elif quote and char == quote:
            quote = ""
        elif not quote and char in "\"'":
            quote, is_word = char, True
        elif not quote and char in " \t":
            if is_word:
                words.append(word)
            word, is_word = "", False
        elif not quote and not is_word and char == "#":
            break
        else:
            word, is_word = word + char, True
        place += 1
    if is_word:
        words.append(word)
    return words
