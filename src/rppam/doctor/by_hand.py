"""The lines of a fix for a node that no service manager runs: one that was started in a terminal.

Decides whether systemd here has a unit of a node for a config, and what stands in place of what would need one. What
it does not know: in which terminal a node runs, or what else starts it.
"""

import re
from pathlib import Path
from typing import Final

from rppam.config.places import LINUX

UNITS: Final = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
_STOP: Final = "stop the node (Ctrl-C in its terminal)"
_START: Final = f"rppam node --config {LINUX.config_file}"
_INSTEAD: Final = (
    (re.compile(r"sudo systemctl restart rppam\b(?!-)"), f"{_STOP}; {_START}"),
    (re.compile(r"sudo systemctl stop rppam\b(?!-)"), _STOP),
    (re.compile(r"sudo systemctl start rppam\b(?!-)"), _START),
    (re.compile(r"sudo systemctl start rppam-witness\b"), "rppam witness --config rppam-witness.config"),
    (re.compile(rf"(?<={re.escape(_START)}); (?:sudo )?journalctl -u rppam -n \d+"), ""),
    (re.compile(r"(?:sudo )?journalctl -u rppam -n \d+"), "read what it says in its terminal"),
    (re.compile(r"sudo -u rppam (?:env )?"), ""),
    (re.compile(r" -o rppam -g rppam\b"), ""),
    (re.compile(r"\bchown (-R )?rppam:"), r"chown \1$USER:"),
)


def has_unit(config: Path, root: Path = Path("/")) -> bool:
    """Whether a unit of systemd on this host starts the node with ``config``. What cannot be read is taken for one."""
    units = [unit for folder in UNITS for unit in (root / folder).glob("rppam*.service")]
    if str(config) == LINUX.config_file:
        return bool(units)
    changed = [part for unit in units for part in unit.with_name(f"{unit.name}.d").glob("*.conf")]
    named = re.compile(rf"{re.escape(str(config))}(?![\w.-])")
    return any(named.search(_text(file, str(config))) for file in (*units, *changed))


def _text(file: Path, unread: str) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return unread


def by_hand(line: str) -> str:
    """A line of a fix, without systemd and without the account of the package."""
    for said, instead in _INSTEAD:
        line = said.sub(instead, line)
    return line
