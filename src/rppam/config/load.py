"""The way from a config file to settings: text, sections, rules between them, and every problem of all at once.

A section is validated by its pydantic model. Keys that are wrong become problems and are taken out, so that the rules
see what is right; what they say about a key that is already wrong is left out.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from rppam.config import rules
from rppam.config.errors import ConfigFileError, ConfigValueError, Problem
from rppam.config.host_secrets import read_file
from rppam.config.kinds import Context, WrongValueError
from rppam.config.places import Places, config_path, default_places
from rppam.config.settings import PRODUCT_SECTIONS, PUSHED_SECTION, SECTIONS, Settings, keys_of
from rppam.config.text import BYTES_MAX, UNICODE_TEXT, read_tree
from rppam.config.wording import alike, key_name, nearest, type_of

CheckPushed = Callable[[Mapping[str, Mapping[str, object]]], Iterable[Problem]]
"""What is wrong with the section ``settings``; what it may hold is not known in this layer."""
CheckBuilt = Callable[[Settings], Iterable[Problem]]
"""What is wrong with the files that the settings name; what reads them is not known in this layer."""
_ALL_NAMES = (*SECTIONS, PUSHED_SECTION, *PRODUCT_SECTIONS)


def _nothing(_read: object) -> tuple[Problem, ...]:
    return ()


def load_settings(
    path: Path | None,
    *,
    places: Places | None = None,
    check_pushed: CheckPushed = _nothing,
    check_built: CheckBuilt = _nothing,
    made_by: str = "rppam init",
) -> Settings:
    """The settings in the file at ``path``; ``None``: the one that RPPAM_CONFIG names, else the platform's.

    ``check_built`` is shown the settings, also those of a file with other problems. ``made_by`` is the command that
    makes such a file, for the fix where there is none. Raises :class:`~rppam.config.errors.ConfigError` (exit 78) with
    every problem found. A file that others than its owner can read gives a warning in the result.
    """
    path = config_path(path)
    try:
        content = read_file(path, BYTES_MAX)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        fix = f"Run this on a node's host: `{made_by}` makes it there. Or name another with --config or RPPAM_CONFIG."
        if isinstance(error, PermissionError):
            fix = "Let the account that runs rppam own it, mode 0600, or run this as that account."
        raise ConfigFileError.of(str(path), "a readable configuration file", reason, fix) from None
    warnings: tuple[str, ...] = ()
    if content.open_to:
        warnings = (f"{path}: open to {content.open_to}, and it holds secrets; run: chmod 600 {path}",)
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolve() would follow links
    return parse_settings(
        content.data,
        folder=folder,
        place=str(path),
        places=places,
        warnings=warnings,
        check_pushed=check_pushed,
        check_built=check_built,
    )


def parse_settings(
    data: bytes | str,
    *,
    folder: Path,
    place: str = "rppam.config",
    places: Places | None = None,
    warnings: tuple[str, ...] = (),
    check_pushed: CheckPushed = _nothing,
    check_built: CheckBuilt = _nothing,
) -> Settings:
    """The settings in ``data``; relative paths count from ``folder``. Raises as :func:`load_settings`."""
    problems: list[Problem] = []
    tree = read_tree(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, place, problems)
    # What else is wrong with half a character follows from it.
    halves = {problem.path.partition("[")[0] for problem in problems if problem.expected == UNICODE_TEXT}
    places = places or default_places()
    context = Context(folder, places, Path(places.data_dir), Path(), warnings=dict.fromkeys(warnings))
    reader = _Reader(tree, context)
    settings = reader.settings()
    problems += [one for one in (*reader.problems, *check_pushed(settings.hot)) if one.path not in halves]
    settings = rules.derived(settings, problems)
    problems += rules.contradictions(settings, {problem.path for problem in problems})
    wrong = {problem.path for problem in problems}  # what else is wrong there may follow from it
    problems += [problem for problem in check_built(settings) if problem.path not in wrong]
    if problems:
        raise ConfigValueError(problems)
    return replace(settings, warnings=(*context.warnings, *rules.warnings(settings)))


class _Reader:
    """The sections of a file, one after the other."""

    def __init__(self, tree: dict[str, Any], context: Context) -> None:
        self.problems: list[Problem] = []
        self._tree = tree
        self._context = context
        self._given: set[str] = set()

    def settings(self) -> Settings:
        """What is right, with the defaults; what is wrong stands in ``problems``."""
        self.problems += [_unknown_section(name) for name in self._tree if name not in _ALL_NAMES]
        hot = self._pushed()
        read = {"node": self._section("node")}
        self._context.data_dir = read["node"].data_dir
        read["auth"] = self._section("auth")
        self._context.key_file = read["auth"].secret_key_path
        read |= {name: self._section(name) for name in SECTIONS if name not in read}
        notes = [
            f"{name}: this section of the product is accepted and has no effect here"
            for name in self._tree
            if name in PRODUCT_SECTIONS
        ]
        if hot:
            notes.append(f"{PUSHED_SECTION}: takes effect for the whole cluster with `rppam config push`")
        return Settings(**read, given=frozenset(self._given), hot=hot, notes=tuple(notes))

    def _section(self, section: str) -> Any:
        model, content = SECTIONS[section], self._tree.get(section, {})
        if not isinstance(content, dict):
            fix = f'Write "{section}": {{ ... }}.'
            self.problems.append(Problem(section, "an object", type_of(content), fix))
            content = {}
        kinds = {key.name: key.kind for key in keys_of(model).values()}
        known = {name: value for name, value in content.items() if name in kinds}
        self.problems += [_unknown_key(section, name, kinds) for name in content if name not in kinds]
        self._given |= {f"{section}.{name}" for name in known}
        for name in [name for name, value in known.items() if value is None]:
            self._wrong(
                section, name, kinds[name].expected, "null", "Write a value, or take the key out to have the default."
            )
            del known[name]
        self._context.section = section
        while True:
            try:
                return model.model_validate(known, by_alias=True, by_name=False, context=self._context)
            except ValidationError as error:
                found = {
                    str(one["loc"][0]): one.get("ctx", {}).get("error") for one in error.errors(include_input=False)
                }
            for name, why in found.items():
                assert isinstance(why, WrongValueError)
                self._wrong(section, name, why.expected or kinds[name].expected, why.found, why.fix)
                del known[name]

    def _wrong(self, section: str, name: str, expected: str, found: str, fix: str) -> None:
        self.problems.append(Problem(f"{section}.{name}", expected, found, fix))

    def _pushed(self) -> dict[str, dict[str, object]]:
        """The section ``settings``; only whether it is made of objects is checked here."""
        fix = 'Write it such as "settings": {"security/sessions": {"idleMinutes": 15}}.'
        content = self._tree.get(PUSHED_SECTION, {})
        if not isinstance(content, dict):
            self.problems.append(Problem(PUSHED_SECTION, "an object", type_of(content), fix))
            return {}
        for name, fields in content.items():
            if not isinstance(fields, dict):
                path = f"{PUSHED_SECTION}.{key_name(name)}"
                self.problems.append(Problem(path, "an object", type_of(fields), fix))
        return {name: fields for name, fields in content.items() if isinstance(fields, dict)}


def _owners(name: str) -> list[str]:
    """Keys of any section with this name, whatever its case."""
    return [
        f"{section}.{key.name}"
        for section, model in SECTIONS.items()
        for key in keys_of(model).values()
        if key.name.lower() == name.lower()
    ]


_FORMS: Final = {"redis": "10.0.1.20:6379,password=...", "database": "postgresql://USER:PASSWORD@HOST:5432/NAME"}
_MEANT: Final = {
    (section, word): whole
    for section, whole in (("redis", "connectionString"), ("database", "url"))
    for word in ("host", "hostname", "server", "address", "port", "endpoint")
}
"""What other products have as keys of their own."""


def _unknown_section(name: str) -> Problem:
    fix = "Take it out."
    if near := nearest(name, _ALL_NAMES):
        fix = f"Did you mean {near!r}?"
    elif owners := _owners(name):
        fix = f"This key belongs into a section: {' or '.join(owners)}."
    return Problem(key_name(name), f"one of the sections {', '.join(SECTIONS)}", "an unknown section", fix)


def _unknown_key(section: str, name: str, known: Iterable[str]) -> Problem:
    fix = f"Take it out; {section} knows {', '.join(known)}."
    if meant := _MEANT.get((section, name.lower())):
        fix = f"Write it as part of {section}.{meant}: {_FORMS[section]}"
    elif near := alike(name, known):
        fix = f"Did you mean {' or '.join(f'{section}.{one}' for one in near)}?"
    elif owners := _owners(name):
        fix = f"Did you mean {' or '.join(owners)}?"
    return Problem(f"{section}.{key_name(name)}", f"a key of {section}", "an unknown key", fix)
