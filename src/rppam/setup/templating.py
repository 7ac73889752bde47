"""The texts of configuration files, from the templates of this slice."""

from collections.abc import Mapping
from importlib.resources import files as resources
from string import Template
from typing import Any


def filled(name: str, values: Mapping[str, Any]) -> str:
    """A template with its ``$values``. A line that begins with ``?NAME`` stands only where that value is true."""
    lines = []
    for line in resources("rppam.setup").joinpath("templates", name).read_text(encoding="utf-8").splitlines():
        switch, _, text = line.partition(" ")
        if not line.startswith("?"):
            lines.append(line)
        elif values[switch[1:]]:
            lines.append(text)
    return Template("\n".join(lines) + "\n").substitute(values)
