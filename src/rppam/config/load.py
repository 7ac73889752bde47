"""The way from a config file to settings."""

import os
from pathlib import Path

from rppam.config.build import build_settings
from rppam.config.outside import Outside
from rppam.config.places import Places, default_places
from rppam.config.settings import Settings
from rppam.config.text import BYTES_MAX, read_tree
from rppam.config.values import read_values
from rppam.domain.errors.config import ConfigFileError

__all__ = ["load_settings", "parse_settings"]


def load_settings(path: Path, *, outside: Outside, places: Places | None = None) -> Settings:
    """The settings in the file at ``path``.

    Raises :class:`~rppam.domain.errors.config.ConfigError` (exit 78) with every problem found. A file that others than
    its owner can read gives a warning in the result.
    """
    try:
        content = outside.read(path, BYTES_MAX)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        fix = "Make it with `rppam init`, or name another with --config or RPPAM_CONFIG."
        raise ConfigFileError.of(str(path), "a readable configuration file", reason, fix) from None
    warnings: tuple[str, ...] = ()
    if content.open_to:
        warnings = (f"{path}: open to {content.open_to}, and it holds secrets; run: chmod 600 {path}",)
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolve() would follow links
    return parse_settings(
        content.data, outside=outside, folder=folder, place=str(path), places=places, warnings=warnings
    )


def parse_settings(
    data: bytes | str,
    *,
    outside: Outside,
    folder: Path,
    place: str = "rppam.config",
    places: Places | None = None,
    warnings: tuple[str, ...] = (),
) -> Settings:
    """The settings in ``data``; relative paths count from ``folder``. Raises as :func:`load_settings`."""
    tree = read_tree(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data, place)
    values = read_values(tree)
    values.warnings.extend(warnings)
    return build_settings(values, outside=outside, folder=folder, places=places or default_places())
