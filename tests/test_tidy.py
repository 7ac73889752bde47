"""Style as a test: sizes, names, docstrings, the error table, the commands, and words that do not belong in this tree.

A rule stands here only if it is checked. The exceptions are empty and stay so.
"""

import base64
import re
import subprocess
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import pytest

from rppam.app.main import COMMANDS
from rppam.catalogue.table import RETIRED
from rppam.kernel.errors import ErrorRow, RppamError, coded
from scripts.references import AREAS, all_errors, commands, help_text
from tests.support.sources import source

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "rppam"
MODULES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "src" / "rppam_sim").rglob("*.py")])
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
METHODS_MAX, ATTRIBUTES_MAX = 25, 15
LARGE = {
    "src/rppam/gateway/holder/shell.py: HeldShell": (29, 17),
    "src/rppam/gateway/ssh/channel.py: Front": (48, 22),
    "src/rppam/gateway/ssh/live.py: LiveAccess": (17, 19),
    "src/rppam/gateway/ssh/terminals.py: WebTerminal": (35, 19),
    "src/rppam/recordings/recorder.py: Recorder": (21, 25),
}
"""Methods and attributes of classes that are too large still. None is added, and they only shrink."""
DOCSTRING = re.compile(r'(?:#.*\n|\s)*(?:"""\s*[^\s"]|"[^"\s])')
"""How a module opens that says what it is; modules that begin so need not be parsed for it."""
CLASS = re.compile(r"^\s*class (\w+)\b", re.MULTILINE)
FORBIDDEN_NAMES = {"util", "utils", "helper", "helpers", "common", "misc"}

LOCK_FILES = {"requirements.lock", "requirements-dev.lock", "requirements-bench.lock", "requirements-servers.lock"}

# Hosts that packages come from, tools outside the project and paths of one machine have no place in the tree. The words
# are kept in base64, as this list would otherwise break its own rule.
FORBIDDEN_WORDS = [
    re.compile(base64.b64decode(word).decode(), re.IGNORECASE)
    for word in (
        b"cHlwaVwub3Jn",
        b"cHl0aG9uaG9zdGVkXC5vcmc=",
        b"ZGVwc1wuZGViaWFuXC5vcmd8ZGViXC5kZWJpYW5cLm9yZw==",
        b"cmVnaXN0cnlcLm5wbWpz",
        b"L3dvcmsv",
        b"L29wdC93aGVlbHM=",
        b"L3Jvb3QvXC4=",
        b"XC5saWJyYXJ5Lw==",
        b"XGJjbGF1ZGVcYg==",
        b"XGJhbnRocm9waWNcYg==",
        b"XC5cLi9zaGFyZWQv",
        b"LS1maW5kLWxpbmtzPXwtLWluZGV4LXVybA==",
    )
]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tracked() -> list[Path]:
    """What git holds, and what it would: nothing that is ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := ROOT / name).is_file()]


def test_modules_are_short_and_say_what_they_are() -> None:
    lines = {relative(path): path.read_text(encoding="utf-8").count("\n") for path in MODULES}
    long = {path: count for path, count in lines.items() if count > FILE_LINES_MAX}
    assert long == {}, "split it by what it decides"
    silent = [relative(path) for path in MODULES if not DOCSTRING.match(path.read_text(encoding="utf-8"))]
    assert silent == [], "a module opens with what it decides and what it does not promise"


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{relative(path)}:{function.line}": function.lines
        for path in MODULES
        for function in source(path).functions
        if function.lines > FUNCTION_LINES_MAX
    }
    assert long == {}


@cache
def sizes() -> dict[str, tuple[int, int]]:
    """Each class outside the election: its methods, and the attributes of an object that is not mere data."""
    return {
        f"{relative(path)}: {one.name}": (one.methods, len(one.assigned))
        for path in MODULES
        if "consensus" not in path.parts and "rppam_sim" not in path.parts
        for one in source(path).classes
    }


def test_no_class_does_or_knows_too_much() -> None:
    large = {
        name: size
        for name, size in sizes().items()
        if size[0] > max(METHODS_MAX, LARGE.get(name, (0, 0))[0])
        or size[1] > max(ATTRIBUTES_MAX, LARGE.get(name, (0, 0))[1])
    }
    assert large == {}, "split it by what it decides"


def test_a_class_that_became_small_is_no_exception_any_more() -> None:
    known = sizes()
    kept = {name for name in LARGE if known.get(name, (0, 0))[0] > METHODS_MAX or known[name][1] > ATTRIBUTES_MAX}
    assert set(LARGE) == kept
    assert {name: known[name] for name in LARGE} == LARGE, "write down how small they are now"


def test_names_say_what_a_thing_is() -> None:
    vague = [relative(path) for path in tracked() if FORBIDDEN_NAMES & set(re.split(r"[_.\-]", path.name.lower()))]
    assert vague == []


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_every_error_has_a_row_of_its_own() -> None:
    rows: dict[str, ErrorRow] = {}
    for error in all_errors():
        row = error.row
        assert re.fullmatch(r"RPPAM-[1-9]\d{3,}", row.code), f"{error.__name__}: {row.code}"
        assert int(row.code.removeprefix("RPPAM-")) // 1000 in AREAS, f"{row.code}: an area without a title"
        assert row.code not in RETIRED, f"{row.code} was given up and means something else to somebody"
        assert row.code not in rows, f"{row.code} is used twice"
        assert row.remedy not in {other.remedy for other in rows.values()}, f"{row.code}: a remedy of its own"
        assert row.meaning.endswith("."), f"{row.code}: the meaning is a sentence"
        assert row.remedy.endswith("."), f"{row.code}: the remedy is a sentence"
        assert row.level in {"debug", "info", "warning", "error"}, f"{row.code}: {row.level}"
        assert row.exit is not None or row.status is not None, (
            f"{row.code}: neither ends a command nor answers a request"
        )
        rows[row.code] = row
    assert rows


def test_every_error_that_can_be_raised_has_a_code() -> None:
    bare = [one.__name__ for one in below(RppamError) if not one.__subclasses__() and "row" not in one.__dict__]
    assert bare == []


def below(base: type[RppamError]) -> list[type[RppamError]]:
    return [one for child in base.__subclasses__() for one in (child, *below(child)) if "rppam." in one.__module__]


def test_errors_are_found_wherever_they_are_defined() -> None:
    by_area = set(all_errors())
    for path in MODULES:
        if path.stem not in {"__main__", "__init__"}:
            import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    elsewhere = [error for error in coded() if error not in by_area and error.__module__.startswith("rppam.")]
    assert elsewhere == [], "errors of ours live in modules that are called so"


@pytest.mark.parametrize("word", sorted(COMMANDS))
def test_every_command_explains_itself_with_an_example(word: str) -> None:
    for name, command in commands([word]):
        text = help_text(name, command)
        assert command.help, f"{name} says what it does"
        assert "xample" in text, f"{name}: --help ends with an example"
        assert name in (command.epilog or ""), f"{name}: the example shows this command"
        assert "password=" not in (command.epilog or ""), f"{name}: a password is no part of a command line"
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert [option.name for option in options if not option.help] == [], f"{name}: options without a help text"


def test_no_word_of_one_machine_or_of_an_index_is_in_the_tree() -> None:
    found: list[str] = []
    # In small letters, and whatever it stands beside, a word is found ten times as fast; then lines are judged.
    suspicious = [re.compile(word.pattern.replace(r"\b", "")) for word in FORBIDDEN_WORDS]
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        small = text.casefold()
        if not any(word.search(small) for word in suspicious):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{relative(path)}:{number}: {word.pattern}" for word in FORBIDDEN_WORDS if word.search(line)]
    assert found == []


def test_the_locks_pin_versions_and_hashes_and_no_addresses() -> None:
    for name in LOCK_FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text, name
        pinned = re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", text, re.MULTILINE)
        requirements = re.findall(r"^[a-z0-9].*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE)
        assert len(pinned) == len(requirements) > 0, name


def test_the_dev_lock_holds_what_runs_at_the_same_versions() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def words_of(name: str) -> set[str]:
    """The words of a name, in small letters: of ``LeaseWriter`` and ``lease_writer`` alike."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def test_words_that_were_given_up_do_not_come_back() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").partition("## Words that do not come back")[2]
    rows = re.findall(r"^\| ([a-z, ]+) \| [a-z ]+ \|$", page, re.MULTILINE)
    given_up = {word for row in rows for word in row.split(", ")} - {"was"}
    assert len(given_up) > 15, "the table on the page"
    found = []
    for path in MODULES:
        names = [path.stem, *CLASS.findall(path.read_text(encoding="utf-8"))]
        found += [f"{relative(path)}: {name}" for name in names if words_of(name) & given_up]
    assert found == []
