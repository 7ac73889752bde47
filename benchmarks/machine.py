"""What a measurement ran on, and the page that holds the results: one section for each program, written by it."""

import os
import platform
import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "measurements.md"
_HEAD: Final = """# Measurements of a cluster

Real processes on one machine, loopback, a real server. Each section is written by the program that it names
(`--write`); the figures are of one run each, and say under which load it ran. How the client compares with others:
[benchmarks-client.md](benchmarks-client.md).
"""


def machine() -> dict[str, str]:
    """Processor, system and how busy it is now."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)
        model = found.group(1) if found else platform.machine()
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": load(),
    }


def load() -> str:
    """Load averages of 1, 5 and 15 minutes."""
    return " ".join(f"{average:.1f}" for average in os.getloadavg())


def facts(found: dict[str, str]) -> str:
    """``found`` as a Markdown list."""
    return "\n".join(f"- {name}: {value}" for name, value in found.items())


def write_section(name: str, text: str) -> None:
    """Put ``text`` into the page as the section ``name``, in place of what it held before."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else _HEAD
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}\n"
    if begin in page:
        before, _, rest = page.partition(begin)
        after = rest.partition(end)[2].strip("\n")
        page = before + section + (f"\n{after}\n" if after else "")
    else:
        page = f"{page.rstrip()}\n\n{section}"
    PAGE.write_text(page, encoding="utf-8")
