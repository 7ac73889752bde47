"""Whatever a config says: it gives settings or coded problems with a place and a fix, and never shows a secret."""

import json
import tempfile
import traceback
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings as running, strategies as st

from rppam.app.config_cli import command
from rppam.config import show
from rppam.config.errors import ConfigError
from rppam.config.host_secrets import SecretText
from rppam.config.settings import PRODUCT_SECTIONS, SECTIONS, Settings, keys_of
from tests.support.parsing import parse

MARK = "hUsHhUsH"
KEYS = {section: keys_of(model) for section, model in SECTIONS.items()}
PATHS = {f"{section}.{key.name}": key.kind for section, keys in KEYS.items() for key in keys.values()}
SECRETS = [path for path, kind in PATHS.items() if isinstance(kind, SecretText)]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
NEAR_RIGHT = st.sampled_from(
    [
        "node1", "lan", "majority", "10.0.0.1", "10.0.0.1/24", "::1", "h:1", "https://h:1", "/a/b", "a:", "json", 1, 8,
        4000, True, ["10.0.0.0/8"], ["/a.pem"], "sqlite:////a.db", "postgresql://u:p@h/d", {"env": "RPPAM_NO_SUCH"},
        {"file": "/none"}, "encrypted:AAAA", "token", "x" * 5000, "\x00", "\ud800",
    ]
)  # fmt: skip
VALUES = JSON | NEAR_RIGHT
NAMES = st.text(max_size=8) | st.sampled_from(["nodename", "node_name", "connection", "timing", "keyPrefix", "x" * 99])


def sections(values: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Trees with known and unknown sections, known and unknown keys."""
    known = {
        section: JSON
        | st.tuples(
            st.fixed_dictionaries({}, optional={key.name: values for key in keys.values()}),
            st.dictionaries(names, values, max_size=1),
        ).map(lambda pair: pair[1] | pair[0])
        for section, keys in KEYS.items()
    }
    others = dict.fromkeys(("settings", "redsi", *PRODUCT_SECTIONS[:2]), JSON)
    return st.fixed_dictionaries({}, optional=known | others)


def outcome(tree: dict[str, Any]) -> tuple[Settings | None, tuple[Any, ...]]:
    try:
        return parse(tree), ()
    except ConfigError as error:
        caught = error
    assert caught.row.code == "RPPAM-1201"
    assert MARK not in "".join(traceback.format_exception(caught))
    return None, caught.problems


@running(deadline=None)
@given(sections(VALUES, NAMES))
def test_any_json_ends_in_settings_or_in_coded_problems(tree: dict[str, Any]) -> None:
    settings, problems = outcome(tree)
    assert (settings is None) == bool(problems)
    if settings is not None:
        assert settings.cluster.timing.check()
        assert json.dumps(show.as_json(settings))
    for problem in problems:
        assert all((problem.path, problem.expected, problem.found, problem.fix))
        assert problem.path.partition(".")[0].split(" ")[0] in {*tree, *map(json.dumps, tree), "cluster"}
        assert problem.sentence().isprintable()


@running(deadline=None)
@given(sections(VALUES, NAMES), st.data())
def test_one_wrong_key_is_told_of_whatever_else_is_wrong(tree: dict[str, Any], data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(list(SECTIONS)))
    key = data.draw(st.sampled_from(list(KEYS[section].values())))
    rest = tree.get(section)
    tree[section] = (rest if isinstance(rest, dict) else {}) | {key.name: [{"a": 1}]}
    assert f"{section}.{key.name}" in {problem.path for problem in outcome(tree)[1]}


SHAPES = [  # none of them reads as a host, which a connection string may show
    f"!{MARK}", MARK + "\n\n!", MARK + "\x00", f"encrypted:{MARK}", f"ENC:{MARK}", [MARK], [[MARK]], {"vault": MARK},
    {"file": [MARK]}, {"env": {"a": MARK}}, {"file": "/none", "env": MARK}, f"h:0,password={MARK}",
    f"h,password=ab,{MARK}", f"redis://:{MARK}@", f"redis://u:{MARK}@h:1/1", f"postgresql://u:{MARK}@h/d",
    f"postgresql://u:{MARK}@", f"mysql://u:{MARK}@h", f"sqlite:///a.db?{MARK}", f"h,password={MARK}", MARK * 1000,
]  # fmt: skip


def place(tree: dict[str, Any], path: str, value: object) -> None:
    section, _, name = path.partition(".")
    rest = tree.get(section)
    tree[section] = (rest if isinstance(rest, dict) else {}) | {name: value}


@running(deadline=None)
@given(sections(VALUES, NAMES), st.lists(st.tuples(st.sampled_from(SECRETS), st.sampled_from(SHAPES)), min_size=1))
def test_a_secret_is_never_in_what_is_printed(tree: dict[str, Any], secrets: list[tuple[str, object]]) -> None:
    for path, value in secrets:
        place(tree, path, value)
    settings, problems = outcome(tree)
    assert MARK not in f"{problems!r} {[problem.sentence() for problem in problems]}"
    if settings is not None:
        assert MARK not in f"{settings!r} {settings} {settings.redis!r} {settings.api} {settings.warnings}"
        assert MARK not in json.dumps(show.as_json(settings))


HIDDEN = [[[MARK]], {"password": MARK}, {MARK: MARK}, [{"a": [MARK]}], f"https://u:{MARK}@h", f"u:{MARK}@h:1"]


@pytest.mark.parametrize("value", HIDDEN, ids=str)
def test_what_may_hold_a_secret_is_not_shown_at_any_key(value: object) -> None:
    """Objects, lists, and texts with an '@' in a place for addresses: also where no secret belongs."""
    is_text = isinstance(value, str)
    for path in ("node.advertiseUrl", "cluster.memberAddress") if is_text else [*PATHS, "node.flibble", "x.y"]:
        tree: dict[str, Any] = {}
        place(tree, path, value)
        problems = outcome(tree)[1]
        assert problems
        assert MARK not in repr(problems), path


@pytest.mark.parametrize("path", SECRETS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_check_and_show_never_print_a_secret(path: str, shape: object) -> None:
    tree: dict[str, Any] = {"redis": {"enabled": True, "connectionString": "h,password=x"}}
    place(tree, path, shape)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.config"
        file.write_text(json.dumps(tree), encoding="utf-8")
        file.chmod(0o600)
        for words in (["check"], ["check", "--json"], ["show"], ["show", "--json"]):
            done = CliRunner().invoke(command, [*words, str(file)])
            assert done.exit_code in {0, 78}, done.output
            assert done.exception is None or isinstance(done.exception, SystemExit)
            assert MARK not in done.output
