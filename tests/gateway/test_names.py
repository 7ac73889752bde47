"""What a user name at the gateway may mean."""

import pytest

from rppam.gateway.names import CHARS_MAX, Wanted, readings


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("alice", [Wanted("alice")]),
        ("alice+web1", [Wanted("alice+web1"), Wanted("alice", "", "web1")]),
        ("alice#web1", [Wanted("alice#web1"), Wanted("alice", "", "web1")]),
        ("alice:web1", [Wanted("alice:web1"), Wanted("alice", "", "web1")]),
        (
            "alice+root+web1",
            [Wanted("alice+root+web1"), Wanted("alice+root", "", "web1"), Wanted("alice", "root", "web1")],
        ),
        (
            "al+x@corp.example+web1",
            [Wanted("al+x@corp.example+web1"), Wanted("al+x@corp.example", "", "web1"),
             Wanted("al", "x@corp.example", "web1")],
        ),
        ("al@corp.example", [Wanted("al@corp.example")]),
        (
            "alice@root@web1",
            [Wanted("alice@root@web1"), Wanted("alice@root", "", "web1"), Wanted("alice", "root", "web1")],
        ),
        ("alice+[2001:db8::7]", [Wanted("alice+[2001:db8::7]"), Wanted("alice", "", "[2001:db8::7]")]),
        (
            "alice+root+[2001:db8::7]",
            [Wanted("alice+root+[2001:db8::7]"), Wanted("alice+root", "", "[2001:db8::7]"),
             Wanted("alice", "root", "[2001:db8::7]")],
        ),
    ],
)  # fmt: skip
def test_it_is_read_from_the_right_the_longest_user_first(text: str, found: list[Wanted]) -> None:
    assert readings(text) == found


@pytest.mark.parametrize(
    "text", ["", "+web1", "alice+", "a++b", "a\0b", "a\nb", "a\u202eb", "a\x1b[2Jb", "x" * (CHARS_MAX + 1)]
)
def test_what_cannot_be_a_name_is_none(text: str) -> None:
    assert readings(text) == []
