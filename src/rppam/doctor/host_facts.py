"""What a host's clock and disk are made of, as Linux tells it in /sys and /proc. It looks and never judges.

What cannot be read stays empty: on other systems, in containers without /sys, or where it is denied.
"""

import os
import time
from pathlib import Path
from typing import Final

from rppam.doctor.member_rules import GroundFacts
from rppam.kernel.files import mounted

_CLOCKS: Final = "sys/devices/system/clocksource/clocksource0"
_TRUSTED: Final = {"nonstop_tsc", "tsc_reliable", "tsc_known_freq"}
"""Any of these besides ``constant_tsc``: the processor, or the hypervisor, vouches for its counter."""


def look_at_ground(data_dir: Path, root: Path = Path("/")) -> GroundFacts:
    """The facts about this host and the file system of ``data_dir``. ``root`` is where /proc and /sys are."""
    mount_point, file_system = mounted(data_dir, _text(root / "proc/self/mountinfo"))
    return GroundFacts(
        clock_source=_text(root / _CLOCKS / "current_clocksource").strip(),
        clock_sources=tuple(_text(root / _CLOCKS / "available_clocksource").split()),
        is_boot_time=hasattr(time, "CLOCK_BOOTTIME") or os.name == "nt",
        is_steady=_is_steady(_text(root / "proc/cpuinfo")),
        data_dir=str(data_dir),
        file_system=file_system,
        mount_point=mount_point,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _is_steady(cpuinfo: str) -> bool | None:
    """By the flags of the first processor; ``None`` where they are not shown."""
    flags = next((line.partition(":")[2].split() for line in cpuinfo.splitlines() if line.startswith("flags")), None)
    return None if flags is None else "constant_tsc" in flags and not _TRUSTED.isdisjoint(flags)
