"""A config as text or as a tree, to settings or to the problems that it has."""

import json
from pathlib import Path
from typing import Any

import pytest

from rppam.config.errors import ConfigError, Problem
from rppam.config.load import parse_settings
from rppam.config.places import LINUX
from rppam.config.settings import Settings

ROOT = Path(__file__).parents[2]
REDIS = {"enabled": True, "connectionString": "10.0.1.20:6379,abortConnect=false"}


def parse(tree: Any, folder: Path = Path("/etc/rppam")) -> Settings:
    text = tree if isinstance(tree, str | bytes) else json.dumps(tree)
    return parse_settings(text, folder=folder, places=LINUX)


def problems(tree: Any, folder: Path = Path("/etc/rppam")) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(tree, folder)
    assert caught.value.row.exit == 78
    return caught.value.problems


def only(tree: Any, folder: Path = Path("/etc/rppam")) -> Problem:
    found = problems(tree, folder)
    assert len(found) == 1, found
    return found[0]
