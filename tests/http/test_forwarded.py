"""The caller's address behind proxies: believed from trusted ones only, and read from the end."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from rppam.http.forwarded import FORWARDED, HOPS_MAX, X_FORWARDED_FOR, Forwarder

TRUSTED = ("10.0.0.0/24", "fd00::/8")


async def nowhere(scope: Any, receive: Any, send: Any) -> None:
    scope["seen"].append(scope["client"])


def caller(peer: str, *values: str, header: str = X_FORWARDED_FOR) -> str:
    return Forwarder(nowhere, trusted=TRUSTED, header=header).caller(peer, [one.encode("latin-1") for one in values])


@pytest.mark.parametrize(
    ("peer", "values", "expected"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9:55123"], "203.0.113.9"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("fd00::1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9, localhost"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.9,"], "10.0.0.1"),
        ("10.0.0.1", ["\xff\x00"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("not an address", ["203.0.113.9"], "not an address"),
    ],
)
def test_x_forwarded_for(peer: str, values: list[str], expected: str) -> None:
    assert caller(peer, *values) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["for=203.0.113.9"], "203.0.113.9"),
        (['for="[2001:db8::1]:4711";proto=https;by=10.0.0.1'], "2001:db8::1"),
        (["For=127.0.0.1, proto=http;FOR=203.0.113.9"], "203.0.113.9"),
        (["for=203.0.113.9, for=10.0.0.2;proto=https"], "203.0.113.9"),
        (["for=_hidden"], "10.0.0.1"),
        (["by=203.0.113.9"], "10.0.0.1"),
    ],
)
def test_forwarded(values: list[str], expected: str) -> None:
    assert caller("10.0.0.1", *values, header=FORWARDED) == expected


def test_a_path_of_ten_thousand_hops_is_read_at_its_end_only() -> None:
    assert caller("10.0.0.1", ",".join(["203.0.113.9"] * 10_000 + ["10.0.0.2"] * HOPS_MAX)) == "10.0.0.2"


async def test_everything_inside_sees_the_caller() -> None:
    seen: list[tuple[str, int]] = []
    scope: MutableMapping[str, Any] = {"type": "http", "client": ("10.0.0.1", 7), "seen": seen}
    app = Forwarder(nowhere, trusted=TRUSTED, header=X_FORWARDED_FOR)
    for header in (b"x-forwarded-for", b"forwarded"):
        await app({**scope, "headers": [(header, b"203.0.113.9")]}, None, None)  # type: ignore[arg-type]
    assert seen == [("203.0.113.9", 7), ("10.0.0.1", 7)], "the other header is anybody's"
