"""What the project says of itself to installers: every package that is imported is one that it asks for."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from tests.support.sources import source

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PARTS = {"pydantic_core"}
"""Parts of a package that is asked for, which pins exactly the one that belongs to it."""


def imported() -> set[str]:
    """The first words of what the product imports."""
    names = {name for path in (ROOT / "src" / "rppam").rglob("*.py") for name in source(path).absolute}
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"rppam"}


def test_every_package_that_is_imported_is_asked_for() -> None:
    extras = [one for some in PROJECT["project"]["optional-dependencies"].values() for one in some]
    asked = [*PROJECT["project"]["dependencies"], *extras]
    declared = {re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0].lower() for one in asked}
    owners = packages_distributions()
    strange = {
        name: sorted(map(str.lower, owners.get(name, ["?"])))
        for name in imported()
        if name not in PARTS and not declared & {one.lower() for one in owners.get(name, [])}
    }
    assert strange == {}, "importing what another package happens to bring breaks when that package changes its mind"


def test_the_wheel_says_for_whom_it_is_and_brings_the_units() -> None:
    project = PROJECT["project"]
    assert (project["license"], "Typing :: Typed" in project["classifiers"]) == ("Apache-2.0", True)
    brought = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert all((ROOT / source).exists() for source in brought)
    assert (ROOT / "packaging" / "rppam.service").is_file()
    assert {target.partition("/")[2] for target in brought.values()} == {"packaging", "openapi.json"}
