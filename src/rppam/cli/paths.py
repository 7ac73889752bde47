"""The type of the option ``--config``, and of an argument that stands for it."""

from pathlib import Path
from typing import Final

import click

CONFIG_FILE: Final = click.Path(path_type=Path, readable=False)
"""One that cannot be read is told by who reads it, as a wrong configuration (78); click would call it wrong usage."""
