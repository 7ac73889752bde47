"""What the pages say to `rppam settings set` is taken: also in blocks that no test types."""

import re
import shlex
from pathlib import Path

import pytest

import rppam.app.slices  # noqa: F401 - declares the settings
from rppam.manager.settings_command import field_of
from rppam.settings.registry import find_setting

DOCS = Path(__file__).parents[2] / "docs"


def orders() -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(DOCS)), line)
        for page in (*DOCS.glob("*.md"), *DOCS.glob("operations/*.md"))
        for line in re.findall(r"^rppam settings set .*", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]


def test_there_are_some() -> None:
    assert len(orders()) >= 2


@pytest.mark.parametrize(("page", "line"), orders())
def test_it_is_taken(page: str, line: str) -> None:
    name, *words = shlex.split(line.partition(" --")[0])[3:]
    setting = find_setting(name)
    given = dict(map(field_of, words))
    assert given, page
    assert setting.read(setting.write(setting.default) | given) != setting.default, page
