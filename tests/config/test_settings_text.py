"""What is not one JSON object of Unicode text is refused, with the line and the column."""

import pytest

from rppam.config.errors import ConfigFileError
from tests.support.parsing import only, parse, problems

WRONG_TEXTS = [
    (b"", "an empty file"),
    (b" \n", "an empty file"),
    (b"\xef\xbb\xbf", "an empty file"),
    (b"[]", "a list"),
    (b'"HUSH"', "a text of 4 characters"),
    (b"null", "null"),
    (b'{\n  "node": {},\n  "redis" {}\n}', "line 3, column 11"),
    (b'{"a": 1,}', "line 1, column"),
    (b'{"a": 1}}', "Extra data at line 1, column 9"),
    (b'{"redis": {"password": "HUSH}}', "a text without a closing quote, which begins at line 1, column 24"),
    (b"{} {}", "Extra data at line 1, column 4"),
    (b'// x\n{"a": "HUSH"}', "line 1, column 1"),
    (b'{"a": NaN}', "NaN"),
    (b'{"a": ' + b"9" * 5000 + b"}", "a number"),
    (b"\xff\xfe{\x00}\x00", "UTF-16"),
    (b'{\n"a": "\xff"}', "line 2"),
    (b'{"a":' * 100_000, "nested too deep"),
    (b" " * (1024 * 1024 + 1), "more than that"),
]


@pytest.mark.parametrize(("data", "found"), WRONG_TEXTS)
def test_what_is_not_one_json_object_is_refused_with_line_and_column(data: bytes, found: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        parse(data)
    assert found in str(caught.value)
    assert "HUSH" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "opened", "missing"),
    [
        (b'{\n "redis": {\n  "password": "HUSH {"\n }\n', "the object that begins at line 1, column 1", "}"),
        (b'{\n "redis": {\n  "password": "HUSH }\\""\n', "the object that begins at line 2, column 11", "}"),
        (b'{"a": [1, 2', "the list that begins at line 1, column 7", "]"),
        (b'{"a": 1,', "the object that begins at line 1, column 1", "}"),
        (b'{"a":', "the object that begins at line 1, column 1", "}"),
        (b"{", "the object that begins at line 1, column 1", "}"),
    ],
)
def test_a_file_that_ends_too_early_names_what_is_not_closed(data: bytes, opened: str, missing: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        parse(data)
    (problem,) = caught.value.problems
    assert problem.found == f"the end of the file before {opened} is closed"
    assert f"missing {missing}" in problem.fix
    assert "HUSH" not in str(caught.value)


def test_a_key_written_twice_is_an_error_wherever_it_stands() -> None:
    found = problems(b'{"node": {"nodeName": "a", "nodeName": "b"}, "node": {}, "lvs": [{"x": 1, "x": 1}]}')
    assert [problem.path for problem in found] == ["node", "lvs[0].x"]


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b'\xef\xbb\xbf{"node": {"nodeName": "n1"}}').node.node_name == "n1"


def test_half_a_character_is_an_error() -> None:
    assert only(b'{"redis": {"password": "HUSH\\ud800"}}').path == "redis.password"


def test_what_the_text_has_is_told_together_with_everything_else() -> None:
    found = problems(
        b'{"node": {"nodeName": "A", "nodeName": "B"}, "redis": {"keyPrefix": "\\ud800"}, "api": {"port": 0},'
        b' "redsi": {}}'
    )
    assert sorted(problem.path for problem in found) == [
        "api.port", "node.nodeName", "node.nodeName", "redis.keyPrefix", "redsi",
    ]  # fmt: skip
    assert {problem.expected for problem in found if problem.path == "redis.keyPrefix"} == {"Unicode text"}
