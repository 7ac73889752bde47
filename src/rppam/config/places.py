"""Default paths of each platform, and which config file is meant.

Values only; nothing here touches the disk. The Windows table is type-checked and has not been run on Windows.
"""

import os
import sys
from pathlib import Path
from typing import Final, NamedTuple

ENVIRONMENT: Final = "RPPAM_CONFIG"
"""Environment variable that names the config file where no option does."""

WITNESS_CONFIG: Final = "rppam-witness.config"
_WITNESS_DATA: Final = "rppam-witness"


class Places(NamedTuple):
    """Where an installation keeps its files by default."""

    config_file: str
    data_dir: str
    licence_file: str


_WINDOWS_BASE: Final = r"C:\ProgramData\Ravenphyre\RP-PAM"

LINUX: Final = Places("/etc/rppam/rppam.config", "/var/lib/rppam", "/etc/rppam/license.jwt")
WINDOWS: Final = Places(rf"{_WINDOWS_BASE}\rppam.config", _WINDOWS_BASE, rf"{_WINDOWS_BASE}\license.jwt")


def default_places() -> Places:
    return WINDOWS if sys.platform == "win32" else LINUX


def config_path(option: str | Path | None, places: Places | None = None) -> Path:
    """The config file: ``--config``, else ``RPPAM_CONFIG``, else the platform's default."""
    return Path(option or os.environ.get(ENVIRONMENT) or (places or default_places()).config_file)


def witness_places(places: Places) -> Places:
    """Where a witness keeps its files by default: beside a node's, never in them."""
    return places._replace(
        config_file=str(Path(places.config_file).with_name(WITNESS_CONFIG)),
        data_dir=str(Path(places.data_dir).with_name(_WITNESS_DATA)),
    )
