"""A JSON tree into values, one key at a time: unknown names, wrong types and wrong values become problems.

What it does not look at: rules between keys (:mod:`rppam.config.build`), and whether files exist.
"""

from dataclasses import dataclass, field
from typing import Any

from rppam.config.errors import Problem
from rppam.config.kinds import WrongValueError
from rppam.config.settings import PRODUCT_SECTIONS, PUSHED_SECTION, SECTIONS, Key, keys_of
from rppam.config.wording import nearest, shown, type_of


@dataclass(slots=True)
class Values:
    """What the file says, key by key, and every problem so far."""

    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Section to field name to value; only what the file gives and what is right."""
    given: set[str] = field(default_factory=set)
    """Paths that stand in the file, right or wrong."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hot: dict[str, dict[str, object]] = field(default_factory=dict)

    def get(self, section: str, name: str) -> Any:
        """The value given for a field, else ``None``."""
        return self.sections[section].get(name)

    def problem(self, path: str, expected: str, found: str, fix: str) -> None:
        """Note one problem."""
        self.problems.append(Problem(path, expected, found, fix))


def read_values(tree: dict[str, Any]) -> Values:
    """All keys of all sections. Raises nothing: problems stand in the result."""
    values = Values(sections={name: {} for name in SECTIONS})
    for name, content in tree.items():
        if name in SECTIONS:
            _section(name, content, values)
        elif name == PUSHED_SECTION:
            _hot(content, values)
        elif name in PRODUCT_SECTIONS:
            values.notes.append(f"{name}: this section of the product is accepted and has no effect here")
        else:
            _unknown_section(name, values)
    return values


def _unknown_section(name: str, values: Values) -> None:
    near = nearest(name, (*SECTIONS, PUSHED_SECTION, *PRODUCT_SECTIONS))
    owners = [section for section, made in SECTIONS.items() if name in {key.name for key in keys_of(made).values()}]
    if near:
        fix = f"Did you mean {near!r}?"
    elif owners:
        fix = f"This key belongs into a section: {' or '.join(f'{owner}.{name}' for owner in owners)}."
    else:
        fix = "Take it out."
    path = name if _is_plain(name) else shown(name)
    values.problem(path, f"one of the sections {', '.join(SECTIONS)}", "an unknown section", fix)


def _hot(content: object, values: Values) -> None:
    """Only whether it is made of objects: what they may hold is not known here."""
    fix = 'Write it such as "settings": {"security/sessions": {"idleMinutes": 15}}.'
    if not isinstance(content, dict):
        values.problem(PUSHED_SECTION, "an object", type_of(content), fix)
        return
    for name, fields in content.items():
        path = f"{PUSHED_SECTION}.{name if _is_plain(name) else shown(name)}"
        if isinstance(fields, dict):
            values.hot[name] = fields
        else:
            values.problem(path, "an object", type_of(fields), fix)
    if values.hot:
        values.notes.append(f"{PUSHED_SECTION}: takes effect for the whole cluster with `rppam config push`")


def _section(name: str, content: object, values: Values) -> None:
    if not isinstance(content, dict):
        values.problem(name, "an object", type_of(content), f'Write "{name}": {{ ... }}.')
        return
    by_name = {key.name: (field_name, key) for field_name, key in keys_of(SECTIONS[name]).items()}
    for key_name, value in content.items():
        if key_name in by_name:
            field_name, key = by_name[key_name]
            _value(f"{name}.{key_name}", name, field_name, key, value, values)
        else:
            _unknown_key(name, key_name, list(by_name), values)


def _unknown_key(section: str, name: str, known: list[str], values: Values) -> None:
    near = nearest(name, known)
    elsewhere = [
        f"{other}.{key.name}"
        for other, made in SECTIONS.items()
        for key in keys_of(made).values()
        if key.name.lower() == name.lower() and other != section
    ]
    if near:
        fix = f"Did you mean {section}.{near}?"
    elif elsewhere:
        fix = f"Did you mean {' or '.join(elsewhere)}?"
    else:
        fix = f"Take it out; {section} knows {', '.join(known)}."
    path = f"{section}.{name if _is_plain(name) else shown(name)}"
    values.problem(path, f"a key of {section}", "an unknown key", fix)


def _value(path: str, section: str, field_name: str, key: Key, value: object, values: Values) -> None:
    values.given.add(path)
    if value is None:
        fix = "Write a value, or take the key out to have the default."
        values.problem(path, key.kind.expected, "null", fix)
        return
    try:
        values.sections[section][field_name] = key.kind.read(value)
    except WrongValueError as error:
        values.problem(path, key.kind.expected, error.found, error.fix)


def _is_plain(name: str) -> bool:
    return name.isascii() and name.isprintable() and 0 < len(name) <= 60
