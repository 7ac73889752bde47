"""Gathers what a connection string or URL says, piece by piece, and every problem on the way.

Decides what one option's value may be, and what of it a message may show: a value is shown only where it is short and
plain, since ``abortConnect=false password=...`` has a password in it.
"""

import re
from typing import Any, Final

from rppam.config.endpoint import Endpoint, NotAnEndpointError, parse_endpoint
from rppam.config.errors import ConnectionStringError, Problem
from rppam.config.keywords import (
    ENCRYPTED,
    FALSE_WORDS,
    INT_MAX,
    KEYWORDS,
    MANAGED_WITH_TLS,
    NEEDED_COMMANDS,
    SCRIPT_COMMANDS,
    SYNONYMS,
    TRUE_WORDS,
    Form,
    Keyword,
)
from rppam.config.options import ATTRIBUTES, ConnectionOptions, Ignored, Timeouts
from rppam.config.wording import nearest, unprintable
from rppam.kernel.secret import Secret

PORT_PLAIN: Final = 6379
PORT_TLS: Final = 6380
PORT_SENTINEL: Final = 26379

_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_PLAIN: Final = re.compile(r"[+-]?[0-9]{1,24}|[\w.+-]{1,12}( ?[A-Za-z]{1,3})?")
_HARMLESS: Final = re.compile(r"[\[\]\w.-]{0,63}(:[\w.+-]{0,6})?|[\[\]0-9A-Fa-f:.]{1,45}")
"""An endpoint that a message may show: a name and at most a short port, or what looks like an address."""
_WITH_UNIT: Final = re.compile(r"([0-9]{1,7})(?:\.0+)? ?(ms|s|sec|m|min)", re.IGNORECASE)
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "sec": 1_000, "m": 60_000, "min": 60_000}
_COMMAND: Final = re.compile(r"[A-Za-z][A-Za-z0-9._|-]{0,63}")
_RENAMED: Final = re.compile(r"[!-~]{1,128}")


def suggestion(key: str) -> Keyword | None:
    """The option that an unknown name most likely stands for."""
    lower = key.lower()
    if lower in SYNONYMS:
        return KEYWORDS[SYNONYMS[lower]]
    name = nearest(key, KEYWORDS)
    return KEYWORDS[name] if name else None


class Reading:
    """What was understood so far. ``options()`` ends it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.endpoint_expected = True
        """False once a problem was noted in what may have been meant as an endpoint."""
        self._hosts: list[tuple[str, int | None]] = []
        self._values: dict[str, str | bool | int] = {}
        self._commands: dict[str, str] = {}
        self._ignored: dict[str, Ignored] = {}
        self._repeated: dict[str, None] = {}

    def problem(self, path: str, expected: str, found: str, fix: str) -> None:
        self.problems.append(Problem(path, expected, found, fix))

    @property
    def has_endpoint(self) -> bool:
        return bool(self._hosts)

    def has(self, name: str) -> bool:
        """Return whether the option was given with a value."""
        return self._values.get(name, "") != ""

    def endpoint(self, text: str, place: str) -> None:
        try:
            self._hosts.append(parse_endpoint(text))
        except NotAnEndpointError as error:
            found = f"{text!r}, {error.found}" if _HARMLESS.fullmatch(text) else error.found
            self.no_endpoint(place, found, error.fix)

    def no_endpoint(self, place: str, found: str, fix: str) -> None:
        """Record that something is no endpoint. That there is none at all need not be said then."""
        self.endpoint_expected = False
        self.problem(place, "host:port", found, fix)

    def option(self, keyword: Keyword, value: str, *, behind: str = "") -> bool:
        """Take one recognised option; a later one of the same name replaces an earlier one. ``False``: it is wrong.

        ``behind`` is what to do about a comma in the password that stands right before it, if one does: a wrong value
        may be the rest of that password, and is not shown.
        """
        bad = unprintable(value)
        if bad is not None:
            fix = f"Set it as {keyword.setting}, where JSON can hold it." if keyword.setting else "Take it out."
            self.problem(keyword.name, "printable text", bad, fix)
            return False
        count = len(self.problems)
        if keyword.form is Form.FLAG:
            self._flag(keyword, value)
        elif keyword.form is Form.WHOLE:
            self._whole(keyword, value)
        elif keyword.honoured:
            self._take(keyword.name, value)
        if not keyword.honoured:
            self._ignored.pop(keyword.name, None)
            self._ignored[keyword.name] = Ignored(keyword.name, keyword.meaning, Secret(value))
        is_right = len(self.problems) == count
        if not is_right and behind:
            found = "a value right after the password; it is not shown"
            self.problems[-1] = self.problems[-1]._replace(found=found, fix=behind)
        return is_right

    def unknown(self, key: str, place: str) -> Keyword | None:
        """Record an unknown option. Neither its value nor an odd name is shown: either may hold a secret."""
        near = suggestion(key) if _NAME.fullmatch(key) else None
        fix = f"Did you mean {near.name!r}?" if near else "Take it out, or see `rppam config parse-connection --help`."
        if not _NAME.fullmatch(key) and re.search(r"[;&\s]", key):
            self.endpoint_expected = False
            fix = "Options are separated by commas."
        found = f"{key!r}" if _NAME.fullmatch(key) else "a name that is not shown, since it may hold a secret"
        self.problem(place, "a known option", found, fix)
        return near

    def behind_secret(self, key: str, place: str, comma_fix: str) -> None:
        """Record an unknown name behind a password: it may be the password's rest, so it is never shown."""
        near = suggestion(key) if _NAME.fullmatch(key) else None
        fix = f"Did you mean {near.name!r}? {comma_fix}" if near else comma_fix
        self.problem(place, "a known option", "an unknown name after the password; it is not shown", fix)

    def command(self, key: str, value: str) -> None:
        """Take ``$COMMAND=name``: the command has another name on this server, or none."""
        command = key[1:].strip()
        if not _COMMAND.fullmatch(command):
            self.problem("$", "a Redis command after '$'", "no command name", "Write it as $CONFIG=name or $CONFIG=.")
        elif value and not _RENAMED.fullmatch(value):
            fix = "Write the name that rename-command gave it, or nothing when it is disabled."
            self.problem(f"${command.upper()}", "one word of printable ASCII", "something else", fix)
        else:
            command = command.upper()
            if self._commands.get(command, value) != value:
                self._repeated[f"${command}"] = None
            self._commands[command] = value

    def options(self, tls: bool | None) -> ConnectionOptions:
        """The result, or :class:`ConnectionStringError` with all problems.

        ``tls`` is the setting beside the string, if there is one: it decides where the string says nothing, and it must
        not contradict what the string says.
        """
        ssl = bool(self._values.get("ssl", tls))
        if tls is not None and ssl is not tls:
            words = {True: "true", False: "false"}
            fix = f"Set both to true or both to false; redis.tlsEnabled is {words[tls]}."
            self.problem("ssl", f"{words[tls]}, as redis.tlsEnabled says", words[ssl], fix)
        if tls is None and "ssl" not in self._values and self.has("password"):
            self._managed()
        if not self._hosts and self.endpoint_expected:
            self.problem("", "at least one endpoint", "none", "Begin with host:port, such as 10.0.1.20:6379.")
        self._lost_commands()
        for name in ("password", "sentinelPassword"):
            if str(self._values.get(name, "")).startswith(ENCRYPTED):
                fix = f"Take it out and set {KEYWORDS[name].setting} to it, where it is decrypted."
                self.problem(name, "the password itself", "an encrypted value, which only a setting can hold", fix)
        if self.problems:
            raise ConnectionStringError(dict.fromkeys(self.problems))
        return self._built(ssl)

    def _lost_commands(self) -> None:
        """Commands that this server lacks by what the string says, and without which a node never connects or leads."""
        for command, name in sorted(self._commands.items()):
            place = f"${command}"
            if not name and command in NEEDED_COMMANDS:
                fix = f"Enable {command} there, and take {place}= out; a node needs it."
                self.problem(place, f"a Redis that has {command}", f"it is disabled ({place}=)", fix)
            elif name.upper() not in {"", command} and command in SCRIPT_COMMANDS:
                fix = f"Take rename-command {command} out there, and {place}= here; scripts know it by its own name."
                found = f"it has another name ({place}=...)"
                self.problem(place, f"a Redis where {command} is called so", found, fix)

    def _managed(self) -> None:
        """Send no password in the clear to a service by accident: there nobody has said so."""
        for host, _ in self._hosts:
            if host.lower().rstrip(".").endswith(MANAGED_WITH_TLS):
                found = f"neither, though {host} is a managed service: the password would go there in the clear"
                fix = "Write ssl=true (the port with TLS is often another, such as 6380); ssl=false if you mean it."
                self.problem("ssl", "true or false", found, fix)
                return

    def _built(self, ssl: bool) -> ConnectionOptions:
        # An empty text is none, as with ``password=`` in StackExchange.Redis.
        said = {name: value for name, value in self._values.items() if value != ""}
        port = PORT_SENTINEL if "serviceName" in said else PORT_TLS if ssl else PORT_PLAIN
        endpoints: dict[tuple[str, int], Endpoint] = {}
        for host, given in self._hosts:
            endpoints.setdefault((host.lower(), given or port), Endpoint(host, given or port))
        values: dict[str, Any] = {
            ATTRIBUTES[name]: Secret(str(value)) if KEYWORDS[name].secret else value for name, value in said.items()
        }
        times = {name: values.pop(name) for name in tuple(values) if name.startswith("timeouts.")}
        return ConnectionOptions(
            **values | {"ssl": ssl},
            timeouts=Timeouts(**{name.removeprefix("timeouts."): value for name, value in times.items()}),
            endpoints=tuple(endpoints.values()),
            command_map=tuple(sorted(self._commands.items())),
            ignored=tuple(self._ignored.values()),
            given=frozenset(name for name in said if KEYWORDS[name].form is Form.WHOLE),
            repeated=tuple(self._repeated),
        )

    def _flag(self, keyword: Keyword, value: str) -> None:
        word = value.lower()
        if word in TRUE_WORDS or word in FALSE_WORDS:
            if keyword.honoured:
                self._take(keyword.name, word in TRUE_WORDS)
            return
        expected = "true or false (also 1/0, yes/no, on/off)"
        self.problem(keyword.name, expected, _picture(value), _separator(value) or "Write true or false.")

    def _whole(self, keyword: Keyword, value: str) -> None:
        unit = f" {keyword.unit}" if keyword.unit else ""
        expected = f"a whole number{' of' + unit if unit else ''}, at least {keyword.least}"
        if not _WHOLE.fullmatch(value):
            self.problem(keyword.name, expected, _picture(value), _separator(value) or _without_unit(keyword, value))
            return
        number = int(value) if len(value) <= len(str(INT_MAX)) + 1 else INT_MAX + 1
        if not keyword.least <= number <= INT_MAX:
            fix = f"Write a number from {keyword.least} to {INT_MAX}, or leave the option out."
            self.problem(keyword.name, expected, _picture(value), fix)
        elif keyword.honoured:
            self._take(keyword.name, number)

    def _take(self, name: str, value: str | bool | int) -> None:
        if self._values.get(name, value) != value:
            self._repeated[name] = None
        self._values[name] = value


def _picture(value: str) -> str:
    """What a message shows of a value that should have been a word or a number."""
    if not value:
        return "nothing"
    return f"{value!r}" if _PLAIN.fullmatch(value) else f"a text of {len(value)} characters, which is not shown"


def _separator(value: str) -> str | None:
    return "Options are separated by commas." if re.search(r"[;&=]|\s.*=", value) else None


def _without_unit(keyword: Keyword, value: str) -> str:
    match = _WITH_UNIT.fullmatch(value)
    if match is None or keyword.unit not in {"ms", "s"}:
        return "Write digits only."
    ms = int(match[1]) * _UNIT_MS[match[2].lower()]
    number = ms if keyword.unit == "ms" else max(1, ms // 1_000)
    return f"Write the number without a unit: {keyword.name}={number} ({keyword.unit})."
