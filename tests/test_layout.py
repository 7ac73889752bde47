"""The rules of the layout that import-linter has no words for: doors of slices, and the order inside one."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from rppam.app.slices import SLICES
from rppam.kernel.slice import Slice, load
from tests.support.sources import source

SOURCE = Path(__file__).parents[1] / "src"
ROWS = (
    ("model", "errors"),
    ("policy",),
    ("store",),
    ("service",),
    ("schemas", "api", "cli", "command"),
)
"""From the bottom: a module may import those of its own row and of rows below, as far as it has such a name."""
FEATURES = [one for one in SLICES if one.package not in {"rppam.app", "rppam.limits"}]
"""The application sees every part, the base declares only settings."""


def modules_of(package: str) -> list[Path]:
    return sorted((SOURCE / package.replace(".", "/")).rglob("*.py"))


def row_of(module: str) -> int | None:
    """In which row a module stands by the last word of its name; ``None`` where the name has no row."""
    word = module.rpartition(".")[2].rpartition("_")[2]
    return next((number for number, names in enumerate(ROWS) if word in names), None)


def slice_of(module: str) -> Slice | None:
    return next((one for one in FEATURES if module == one.package or module.startswith(f"{one.package}.")), None)


def imported_from_others() -> Iterator[tuple[Path, Slice, str]]:
    """Each import from one slice into another: the file, the slice that has the module, and its name in there."""
    for slice_ in FEATURES:
        for path in modules_of(slice_.package):
            for name in source(path).imported:
                other = slice_of(name)
                if other is not None and other is not slice_:
                    yield path, other, name.removeprefix(other.package).removeprefix(".")


def test_slices_see_only_the_public_modules_of_each_other() -> None:
    past = [
        f"{path.relative_to(SOURCE)} imports {other.package}.{module}"
        for path, other, module in imported_from_others()
        if module not in other.public
    ]
    assert past == [], "import from a module that the other slice names in public=(...)"


def test_public_modules_are_needed_by_another_slice() -> None:
    needed = {(other.name, module) for _, other, module in imported_from_others()}
    assert {(one.name, module) for one in FEATURES for module in one.public} == needed


@pytest.mark.parametrize("slice_", FEATURES, ids=lambda one: one.name)
def test_inside_a_slice_imports_go_down(slice_: Slice) -> None:
    upwards = []
    for path in modules_of(slice_.package):
        own = row_of(path.stem)
        for name in source(path).imported:
            other = row_of(name) if name.startswith(f"{slice_.package}.") else None
            if own is not None and other is not None and other > own:
                upwards.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert upwards == [], "api and commands, service, store, policy, model: each imports what stands after it"


@pytest.mark.parametrize("slice_", SLICES, ids=lambda one: one.name)
def test_what_a_slice_declares_is_there(slice_: Slice) -> None:
    for part in (*slice_.routes, *slice_.settings):
        assert load(slice_.place(part)) is not None
    for command in slice_.commands.values():
        assert import_module(slice_.place(command.module)).command is not None


def test_names_and_words_of_slices_are_their_own() -> None:
    words = [word for one in SLICES for word in one.commands]
    assert len(words) == len(set(words))
    names = [one.name for one in SLICES]
    assert len(names) == len(set(names))
