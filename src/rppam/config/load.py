"""The way from a config file to settings."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rppam.config.build import build_settings
from rppam.config.errors import ConfigFileError, Problem
from rppam.config.outside import Outside
from rppam.config.places import Places, default_places
from rppam.config.settings import Settings
from rppam.config.text import BYTES_MAX, UNICODE_TEXT, read_tree
from rppam.config.values import read_values

__all__ = ["load_settings", "parse_settings"]

CheckPushed = Callable[[Mapping[str, Mapping[str, object]]], Iterable[Problem]]
"""What is wrong with the section ``settings``; what it may hold is not known in this layer."""


CheckBuilt = Callable[[Settings], Iterable[Problem]]
"""What is wrong with the files that the settings name; who reads them is not known in this layer."""


def _no_look(_settings: Settings) -> tuple[Problem, ...]:
    return ()


def _nothing(_section: Mapping[str, Mapping[str, object]]) -> tuple[Problem, ...]:
    return ()


def load_settings(
    path: Path,
    *,
    outside: Outside,
    places: Places | None = None,
    check_pushed: CheckPushed = _nothing,
    check_built: CheckBuilt = _no_look,
    made_by: str = "rppam init",
) -> Settings:
    """The settings in the file at ``path``. ``check_pushed`` tells what is wrong with the section ``settings``.

    ``check_built`` is shown the settings, also those of a file with other problems; what it finds is told with them.
    ``made_by`` is the command that makes such a file, for the fix where there is none.

    Raises :class:`~rppam.config.errors.ConfigError` (exit 78) with every problem found. A file that others than
    its owner can read gives a warning in the result.
    """
    try:
        content = outside.read(path, BYTES_MAX)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        fix = f"Make it with `{made_by}`, or name another with --config or RPPAM_CONFIG."
        if isinstance(error, PermissionError):
            fix = "Let the account that runs rppam own it, mode 0600, or run this as that account."
        raise ConfigFileError.of(str(path), "a readable configuration file", reason, fix) from None
    warnings: tuple[str, ...] = ()
    if content.open_to:
        warnings = (f"{path}: open to {content.open_to}, and it holds secrets; run: chmod 600 {path}",)
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolve() would follow links
    return parse_settings(
        content.data,
        outside=outside,
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
    outside: Outside,
    folder: Path,
    place: str = "rppam.config",
    places: Places | None = None,
    warnings: tuple[str, ...] = (),
    check_pushed: CheckPushed = _nothing,
    check_built: CheckBuilt = _no_look,
) -> Settings:
    """The settings in ``data``; relative paths count from ``folder``. Raises as :func:`load_settings`."""
    problems: list[Problem] = []
    tree = read_tree(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, place, problems)
    values = read_values(tree)
    # What else is wrong with half a character follows from it.
    halves = {problem.path.partition("[")[0] for problem in problems if problem.expected == UNICODE_TEXT}
    others = (problem for problem in (*values.problems, *check_pushed(values.hot)) if problem.path not in halves)
    values.problems = [*problems, *others]
    values.warnings.extend(warnings)
    return build_settings(values, check_built, outside=outside, folder=folder, places=places or default_places())
