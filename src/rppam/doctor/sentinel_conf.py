"""Whether the sentinel of this host knows the new name of CONFIG: by its file, else by what its unit said at the start.

The file holds passwords, so the account of a node cannot read it. What ``rppam redis setup`` writes for the unit of the
sentinel therefore leaves a word in :data:`TOLD` when the sentinel starts with a file that tells the name, and systemd
removes that with the sentinel. A file that can be read is believed before that word.
"""

import re
from pathlib import Path
from typing import Final

SENTINEL_CONF: Final = (Path("/etc/redis/sentinel.conf"), Path("/etc/redis-sentinel.conf"))
TOLD: Final = Path("/run/rppam-sentinel/config-name")
"""Holds the service names for which the running sentinel was told the new name, a line each."""


def told_in(named: Path | None, service: str, told: Path = TOLD) -> tuple[bool | None, str]:
    """Return whether a sentinel.conf of this host has the new name of CONFIG, and which file was read.

    With ``named`` only that one is read; else the usual places, where a file counts only if it is about this service.
    ``None``: none could be read.
    """
    of_service = rf"\s+\"?{re.escape(service)}\"?\s"
    telling = re.compile(rf"^\s*sentinel\s+rename-command{of_service}+\"?CONFIG\"?\s+\S", re.IGNORECASE | re.MULTILINE)
    watching = re.compile(rf"^\s*sentinel\s+monitor{of_service}", re.IGNORECASE | re.MULTILINE)
    answer: tuple[bool | None, str] = None, ""
    for path in (named,) if named is not None else SENTINEL_CONF:
        text = _text(path)
        if text is None:
            continue
        if telling.search(text):
            return True, str(path)
        if named is not None or watching.search(text):
            answer = False, str(path)
    if answer[0] is None and named is None and service in (_text(told) or "").splitlines():
        return True, str(told)
    return answer


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
