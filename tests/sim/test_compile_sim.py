"""What was compiled of the simulation is taken again for as long as what it was made of has not changed."""

import os
from pathlib import Path

import pytest

from scripts import compile_sim
from scripts.compile_sim import SRC, digest, to_compile


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One module that is compiled, one that it imports in a function, one that this imports, and another."""
    for name, text in {
        "rppam_sim/world.py": "def f():\n    from rppam.kernel import units\n",
        "rppam/kernel/units.py": "import rppam.kernel.numbers\n",
        "rppam/kernel/numbers.py": "ONE = 1\n",
        "rppam/http/server.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(compile_sim, "SRC", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("rppam_sim/world.py", True),
        ("rppam/kernel/units.py", True),
        ("rppam/kernel/numbers.py", True),
        ("rppam/http/server.py", False),
    ],
)
def test_a_change_matters_where_it_is_imported(sources: Path, file: str, matters: bool) -> None:
    files = to_compile()
    assert files == [sources / "rppam_sim/world.py"]
    before = digest(files)
    assert digest(files) == before
    place = sources / file
    place.write_text(place.read_text() + "# other\n")
    assert (digest(files) != before) == matters


def test_what_decides_is_compiled() -> None:
    names = {str(file.relative_to(SRC)) for file in to_compile()}
    assert {"rppam/cluster/consensus/election.py", "rppam/cache/coherence.py", "rppam_sim/world.py"} <= names
    assert all(name.startswith(compile_sim.PURE) for name in names)


def test_what_was_kept_is_taken_and_nothing_compiled(
    sources: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path_factory.mktemp("made")
    monkeypatch.setattr(compile_sim, "PLACE", tmp_path / "build")
    monkeypatch.setattr(compile_sim, "KEPT", tmp_path / "kept")
    asked = []

    def compiles(words: list[str]) -> None:
        asked.append(words)
        (tmp_path / "build" / "rppam_sim" / "world.so").write_text("machine code")

    monkeypatch.setattr(compile_sim, "_compile", compiles)
    place = tmp_path / "build"
    for _ in range(2):
        assert compile_sim.compiled() == place
        assert (place / "rppam_sim" / "world.so").read_text() == "machine code"
        assert (place / "rppam_sim" / "world.py").exists()
        next(place.glob("done*")).unlink()
    assert asked == [["rppam_sim/world.py"]]
    assert compile_sim.compiled(only_kept=True) == place
    (sources / "rppam_sim/world.py").write_text("changed = True\n")
    compile_sim.compiled()
    assert len(asked) == 2
    (sources / "rppam_sim/world.py").write_text("changed = True; again = True\n")
    os.utime(sources / "rppam_sim/world.py", (2**32, 2**32))
    with pytest.raises(SystemExit, match="nobody has compiled it"):
        compile_sim.compiled(only_kept=True)
