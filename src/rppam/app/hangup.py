"""SIGHUP is answered in the log with what a restart would change: settings are read at the start only."""

import logging
from pathlib import Path

from rppam.config.load import load_settings
from rppam.config.settings import Settings
from rppam.config.show import changed_keys
from rppam.kernel.errors import RppamError
from rppam.settings.files import problems_of

log = logging.getLogger("rppam.node")


def explain_hangup(settings: Settings, path: Path) -> None:
    """Compare ``settings`` with what stands in the file ``path`` now, and say it."""
    try:
        changed = changed_keys(settings, load_settings(path, check_pushed=problems_of))
    except RppamError as error:
        log.error("got SIGHUP; %s would not start a node any more: %s", path, error)  # noqa: TRY400  # a sentence
        return
    if changed:
        log.warning("got SIGHUP; restart to apply the changed settings: %s", ", ".join(changed))
    else:
        log.info("got SIGHUP; nothing has changed in %s, and settings are applied at a restart only", path)
