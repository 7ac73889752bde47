"""The migrations of the platform and of all slices: one numbered chain, each file beside the tables that it makes.

A file is ``vNNNN_what.py``. One named ``vNNNN_contract_what.py`` takes away or tightens, and waits for an administrator
(``rppam database contract``) when it is the last: see ``schema``. Numbers have no gap and no number is given twice,
whatever slice a step belongs to, so that revisions can be compared.
"""

import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_FILE: Final = re.compile(r"v(\d{4})_(contract_)?\w+\.py")
_OWN: Final = "rppam.db.migrations"


class Steps:
    """The folders with migrations, and the numbers in them."""

    def __init__(self) -> None:
        self._packages: list[str] = []
        self._folders: tuple[Path, ...] = ()

    def declare(self, packages: Iterable[str]) -> None:
        """Add the steps in these packages, and those of the platform."""
        self._packages = list(dict.fromkeys([*self._packages, _OWN, *packages]))
        self._folders = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where the steps stand. LookupError before any was declared, for a part of the chain is none."""
        if not self._packages:
            raise LookupError("no migrations are declared; import rppam.app.slices first")
        if not self._folders:
            self._folders = tuple(map(_folder, self._packages))
        return self._folders

    @property
    def head(self) -> str:
        """The newest revision that this release knows."""
        return max(self._numbers())

    @property
    def needed(self) -> str:
        """The last step that this release cannot do without; contract steps after it wait."""
        return max(number for number, waits in self._numbers().items() if not waits)

    def _numbers(self) -> dict[str, bool]:
        """Each revision, and whether it may wait. ValueError where the numbers are no chain."""
        names = sorted(path.name for folder in self.folders for path in folder.glob("v*.py"))
        found = [match for name in names if (match := _FILE.fullmatch(name))]
        if [int(match[1]) for match in found] != list(range(1, len(names) + 1)):
            raise ValueError(f"migrations are numbered v0001_ and on, without a gap and each number once: {names}")
        return {match[1]: bool(match[2]) for match in found}


STEPS: Final = Steps()


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"there is no package {package} with migrations")
    return Path(spec.submodule_search_locations[0])
