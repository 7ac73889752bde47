"""What all processes of a node know from before they are started: read once, so that they never differ."""

from typing import NamedTuple

from rppam.access.tokens.key_files import StoredKey, ensure_signing_keys, load_signing_keys
from rppam.config.settings import Settings
from rppam.kernel.system_clock import SystemClock
from rppam.licence.model import Licence
from rppam.licence.service import read_licence


class BootContext(NamedTuple):
    """The settings, and the files that they name."""

    settings: Settings
    keys: tuple[StoredKey, ...]
    """They sign access tokens."""
    licence: Licence | None
    licence_problem: str
    """Empty, or why there is none."""


def inherit(settings: Settings) -> BootContext:
    """Read what the settings name. Raises the error that keeps a node from starting."""
    directory = settings.auth.jwt_keys_dir
    # A single node makes its key at the first start; nodes of a cluster share theirs, so none is made up.
    if settings.cluster.enabled:
        keys = load_signing_keys(directory)
    else:
        keys = ensure_signing_keys(directory, now_ms=SystemClock().wall_ms())
    licence, problem = read_licence(settings.license)
    return BootContext(settings, keys, licence, problem)
